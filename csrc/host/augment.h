// Host side of `augment`; Backend is Cpu or Cuda.
#pragma once

#include <tuple>

#include "host/staging.h"
#include "ops/augment.h"

namespace poseda {

struct AugmentArguments {
  const Tensor& pose;
  const OptionalTensor &bone_rotation, &bone_scale, &rotation, &target2d, &root, &intrinsics;

  AugmentInputs stage(Staging& staging, const Tree& tree) const {
    STD_TORCH_CHECK(intrinsics.has_value() == (target2d.has_value() != root.has_value()),
                    "augment: expected target2d or root with intrinsics, or none of the three");
    const int64_t joints = tree.joints;
    AugmentInputs in{};
    in.tree = tree;
    in.pose = staging.input(pose, 3 * joints);
    in.bones.rotation = staging.input(bone_rotation, 3 * (joints - 1));
    in.bones.scale = staging.input(bone_scale, joints - 1);
    if (!in.bones.moves())
      for (int8_t& parent : in.tree.parents) parent = 0;
    in.rotation = staging.input(rotation, 3);
    in.root = staging.input(root, 3);
    in.intrinsics = staging.input(intrinsics, 4);
    in.target2d = staging.input(target2d, 2 * joints);
    return in;
  }
};

// pose3d, root (empty unless target2d is given), pose2d (empty without intrinsics)
template <class Backend>
std::tuple<Tensor, Tensor, Tensor> augment(
    const Tensor& pose, const OptionalTensor& bone_rotation, const OptionalTensor& bone_scale,
    const OptionalTensor& rotation, const OptionalTensor& target2d, const OptionalTensor& root,
    const OptionalTensor& intrinsics, const std::vector<int64_t>& parents) {
  const Tree tree = make_tree(parents);
  const int64_t joints = tree.joints;
  Staging staging(pose, 3 * joints);
  const AugmentArguments arguments{pose,     bone_rotation, bone_scale, rotation,
                                   target2d, root,          intrinsics};
  Augment op{arguments.stage(staging, tree), kAbsent, kAbsent};
  const bool solves = target2d.has_value(), projects = intrinsics.has_value();
  if (solves) op.solved_root = staging.rows(3);
  if (projects) op.pose2d = solves ? op.in.target2d : staging.rows(2 * joints);
  Tensor pose3d = staging.output(op.in.pose, 3 * joints, replace_tail(pose, 0, {}));
  Tensor solved =
      solves ? staging.output(op.solved_root, 3, replace_tail(pose, 2, {3})) : staging.nothing();
  Tensor pose2d = projects
                      ? staging.output(op.pose2d, 2 * joints, replace_tail(pose, 2, {joints, 2}))
                      : staging.nothing();
  staging.launch<Backend>(op);
  return {pose3d, solved, pose2d};
}

// A gradient for each of the seven inputs, in their order; empty unless its bit of `needs` is set.
template <class Backend>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> augment_backward(
    const OptionalTensor& grad_pose3d, const OptionalTensor& grad_root,
    const OptionalTensor& grad_pose2d, const Tensor& pose, const OptionalTensor& bone_rotation,
    const OptionalTensor& bone_scale, const OptionalTensor& rotation,
    const OptionalTensor& target2d, const OptionalTensor& root, const OptionalTensor& intrinsics,
    const std::vector<int64_t>& parents, int64_t needs) {
  const Tree tree = make_tree(parents);
  const int64_t joints = tree.joints;
  Staging staging(pose, 3 * joints);
  const AugmentArguments arguments{pose,     bone_rotation, bone_scale, rotation,
                                   target2d, root,          intrinsics};
  const auto wanted = [&](int index) { return (needs >> index & 1) != 0; };
  AugmentBackward op{arguments.stage(staging, tree), wanted(4), kAbsent, kAbsent, kAbsent, kAbsent};
  op.grad_pose3d = staging.input_or_zero(grad_pose3d, 3 * joints);
  if (target2d.has_value()) op.grad_root = staging.input_or_zero(grad_root, 3);
  if (intrinsics.has_value()) op.grad_pose2d = staging.input_or_zero(grad_pose2d, 2 * joints);
  op.moved = staging.rows(3 * joints);
  const AugmentInputs& in = op.in;
  const auto gradient = [&](int index, const OptionalTensor& of, int slot, int64_t width) {
    return staging.gradient(of, slot, width, wanted(index));
  };
  // Evaluated in order: a braced list is.
  std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> grads{
      gradient(0, pose, in.pose, 3 * joints),
      gradient(1, bone_rotation, in.bones.rotation, 3 * (joints - 1)),
      gradient(2, bone_scale, in.bones.scale, joints - 1),
      gradient(3, rotation, in.rotation, 3),
      gradient(4, target2d, op.grad_pose2d, 2 * joints),
      gradient(5, root, in.root, 3),
      gradient(6, intrinsics, in.intrinsics, 4)};
  staging.launch<Backend>(op);
  return grads;
}

}  // namespace poseda
