// Host side of `project`; Backend is Cpu or Cuda.
#pragma once

#include <tuple>

#include "host/gpa.h"
#include "host/staging.h"
#include "ops/project.h"

namespace poseda {

template <class Backend>
Tensor project_op(const Tensor& points, const Tensor& intrinsics,
                  const OptionalTensor& distortion) {
  const int64_t count = count_joints(points);
  Staging staging(points, 3 * count);
  Project op{};
  op.count = static_cast<int>(count);
  op.points = staging.input(points, 3 * count);
  op.intrinsics = staging.input(intrinsics, 4);
  op.distortion = staging.input(distortion, 5);
  op.pose2d = staging.rows(2 * count);
  Tensor pose2d = staging.output(op.pose2d, 2 * count, replace_tail(points, 1, {2}));
  staging.launch<Backend>(op);
  return pose2d;
}

template <class Backend>
std::tuple<Tensor, Tensor, Tensor> project_backward(const OptionalTensor& grad_pose2d,
                                                    const Tensor& points, const Tensor& intrinsics,
                                                    const OptionalTensor& distortion,
                                                    int64_t needs) {
  const int64_t count = count_joints(points);
  Staging staging(points, 3 * count);
  ProjectBackward op{};
  op.count = static_cast<int>(count);
  op.points = staging.input(points, 3 * count);
  op.intrinsics = staging.input(intrinsics, 4);
  op.distortion = staging.input(distortion, 5);
  op.grad_pose2d = staging.input_or_zero(grad_pose2d, 2 * count);
  std::tuple<Tensor, Tensor, Tensor> grads{
      staging.gradient(points, op.points, 3 * count, needs & 1),
      staging.gradient(intrinsics, op.intrinsics, 4, needs & 2),
      staging.gradient(distortion, op.distortion, 5, needs & 4)};
  staging.launch<Backend>(op);
  return grads;
}

}  // namespace poseda
