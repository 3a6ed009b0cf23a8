// Host side of `gpa`; Backend is Cpu or Cuda.
#pragma once

#include <tuple>

#include "host/staging.h"
#include "ops/gpa.h"

namespace poseda {

inline int64_t count_joints(const Tensor& pose) {
  const int64_t joints = pose.size(-2);
  STD_TORCH_CHECK(joints >= 1 && joints <= kMaxJoints, "poseda: got ", joints, " joints");
  return joints;
}

template <class Backend>
Tensor gpa_op(const Tensor& pose, const Tensor& target2d, const Tensor& intrinsics) {
  const int64_t joints = count_joints(pose);
  Staging staging(pose, 3 * joints);
  Gpa op{};
  op.joints = static_cast<int>(joints);
  op.pose = staging.input(pose, 3 * joints);
  op.intrinsics = staging.input(intrinsics, 4);
  op.target2d = staging.input(target2d, 2 * joints);
  op.root = staging.rows(3);
  Tensor root = staging.output(op.root, 3, replace_tail(pose, 2, {3}));
  staging.launch<Backend>(op);
  return root;
}

template <class Backend>
std::tuple<Tensor, Tensor, Tensor> gpa_backward(const OptionalTensor& grad_root, const Tensor& pose,
                                                const Tensor& target2d, const Tensor& intrinsics,
                                                int64_t needs) {
  const int64_t joints = count_joints(pose);
  Staging staging(pose, 3 * joints);
  GpaBackward op{};
  op.joints = static_cast<int>(joints);
  op.pose = staging.input(pose, 3 * joints);
  op.intrinsics = staging.input(intrinsics, 4);
  op.target2d = staging.input(target2d, 2 * joints);
  op.grad_root = staging.input_or_zero(grad_root, 3);
  op.grad_pose = staging.rows(3 * joints);
  op.grad_target2d = staging.rows(2 * joints);
  std::tuple<Tensor, Tensor, Tensor> grads{
      staging.gradient(pose, op.grad_pose, 3 * joints, needs & 1),
      staging.gradient(target2d, op.grad_target2d, 2 * joints, needs & 2),
      staging.gradient(intrinsics, op.intrinsics, 4, needs & 4)};
  staging.launch<Backend>(op);
  return grads;
}

}  // namespace poseda
