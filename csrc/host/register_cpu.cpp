#include "cpu/dispatch.h"
#include "host/register.h"

STABLE_TORCH_LIBRARY_IMPL(poseda, CPU, library) { poseda::register_ops<poseda::Cpu>(library); }
