#include "cuda/launch.h"
#include "host/register.h"

STABLE_TORCH_LIBRARY_IMPL(poseda, CUDA, library) { poseda::register_ops<poseda::Cuda>(library); }
