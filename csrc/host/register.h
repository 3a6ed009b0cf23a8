// Registers every op for one dispatch key. The schemas are defined in poseda_ext/ops.py.
#pragma once

#include <torch/csrc/stable/library.h>

#include "host/augment.h"
#include "host/bones.h"
#include "host/gpa.h"
#include "host/kcs.h"
#include "host/project.h"

namespace poseda {

template <class Backend>
void register_ops(torch::stable::detail::StableLibrary& library) {
  library.impl("augment", TORCH_BOX(&augment<Backend>));
  library.impl("augment_backward", TORCH_BOX(&augment_backward<Backend>));
  library.impl("augment_aligned", TORCH_BOX(&augment_aligned<Backend>));
  library.impl("augment_aligned_backward", TORCH_BOX(&augment_aligned_backward<Backend>));
  library.impl("gpa", TORCH_BOX(&gpa_op<Backend>));
  library.impl("gpa_backward", TORCH_BOX(&gpa_backward<Backend>));
  library.impl("project", TORCH_BOX(&project_op<Backend>));
  library.impl("project_backward", TORCH_BOX(&project_backward<Backend>));
  library.impl("bones", TORCH_BOX(&bones_op<Backend>));
  library.impl("bones_backward", TORCH_BOX(&bones_backward<Backend>));
  library.impl("pose_from_bones", TORCH_BOX(&pose_from_bones_op<Backend>));
  library.impl("pose_from_bones_backward", TORCH_BOX(&pose_from_bones_backward<Backend>));
  library.impl("kcs", TORCH_BOX(&kcs_op<Backend>));
  library.impl("kcs_backward", TORCH_BOX(&kcs_backward<Backend>));
  library.impl("part_kcs", TORCH_BOX(&part_kcs_op<Backend>));
  library.impl("part_kcs_backward", TORCH_BOX(&part_kcs_backward<Backend>));
}

}  // namespace poseda
