// Registers every op for one dispatch key. The schemas are defined in poseda_ext/ops.py.
#pragma once

#include <torch/csrc/stable/library.h>

#include "host/augment.h"

namespace poseda {

template <class Backend>
void register_ops(torch::stable::detail::StableLibrary& library) {
  library.impl("augment", TORCH_BOX(&augment<Backend>));
  library.impl("augment_backward", TORCH_BOX(&augment_backward<Backend>));
}

}  // namespace poseda
