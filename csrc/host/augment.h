// Host side of `augment`; Backend is Cpu or Cuda.
#pragma once

#include <tuple>

#include "host/staging.h"
#include "ops/augment_aligned.h"

namespace poseda {

// pose3d, root (empty unless target2d is given), pose2d (empty without intrinsics)
using Augmented = std::tuple<Tensor, Tensor, Tensor>;
// A gradient for each of the seven inputs, in their order; empty unless its bit of `needs` is set.
using AugmentGradients = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

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

  // Allocates the outputs and gives `op` their slots; all inputs are staged by now.
  Augmented outputs(Staging& staging, Augment& op) const {
    const int64_t joints = op.in.tree.joints;
    const bool solves = target2d.has_value(), projects = intrinsics.has_value();
    if (solves) op.solved_root = staging.rows(3);
    if (projects) op.pose2d = solves ? op.in.target2d : staging.rows(2 * joints);
    Tensor pose3d = staging.output(op.in.pose, 3 * joints, replace_tail(pose, 0, {}));
    Tensor solved =
        solves ? staging.output(op.solved_root, 3, replace_tail(pose, 2, {3})) : staging.nothing();
    Tensor pose2d = projects
                        ? staging.output(op.pose2d, 2 * joints, replace_tail(pose, 2, {joints, 2}))
                        : staging.nothing();
    return {pose3d, solved, pose2d};
  }

  AugmentBackward stage_backward(Staging& staging, const Tree& tree,
                                 const OptionalTensor& grad_pose3d, const OptionalTensor& grad_root,
                                 const OptionalTensor& grad_pose2d, int64_t needs) const {
    const int64_t joints = tree.joints;
    AugmentBackward op{
        stage(staging, tree), (needs >> 4 & 1) != 0, kAbsent, kAbsent, kAbsent, kAbsent};
    op.grad_pose3d = staging.input_or_zero(grad_pose3d, 3 * joints);
    if (target2d.has_value()) op.grad_root = staging.input_or_zero(grad_root, 3);
    if (intrinsics.has_value()) op.grad_pose2d = staging.input_or_zero(grad_pose2d, 2 * joints);
    op.moved = staging.rows(3 * joints);
    return op;
  }

  AugmentGradients gradients(Staging& staging, const AugmentBackward& op, int64_t needs) const {
    const AugmentInputs& in = op.in;
    const int64_t joints = in.tree.joints;
    const auto gradient = [&](int index, const OptionalTensor& of, int slot, int64_t width) {
      return staging.gradient(of, slot, width, (needs >> index & 1) != 0);
    };
    // Evaluated in order: a braced list is.
    return {gradient(0, pose, in.pose, 3 * joints),
            gradient(1, bone_rotation, in.bones.rotation, 3 * (joints - 1)),
            gradient(2, bone_scale, in.bones.scale, joints - 1),
            gradient(3, rotation, in.rotation, 3),
            gradient(4, target2d, op.grad_pose2d, 2 * joints),
            gradient(5, root, in.root, 3),
            gradient(6, intrinsics, in.intrinsics, 4)};
  }
};

template <class Backend>
Augmented augment(const Tensor& pose, const OptionalTensor& bone_rotation,
                  const OptionalTensor& bone_scale, const OptionalTensor& rotation,
                  const OptionalTensor& target2d, const OptionalTensor& root,
                  const OptionalTensor& intrinsics, const std::vector<int64_t>& parents) {
  const Tree tree = make_tree(parents);
  Staging staging(pose, 3 * tree.joints);
  const AugmentArguments arguments{pose,     bone_rotation, bone_scale, rotation,
                                   target2d, root,          intrinsics};
  Augment op{arguments.stage(staging, tree), kAbsent, kAbsent};
  Augmented outputs = arguments.outputs(staging, op);
  staging.launch<Backend>(op);
  return outputs;
}

template <class Backend>
AugmentGradients augment_backward(const OptionalTensor& grad_pose3d,
                                  const OptionalTensor& grad_root,
                                  const OptionalTensor& grad_pose2d, const Tensor& pose,
                                  const OptionalTensor& bone_rotation,
                                  const OptionalTensor& bone_scale, const OptionalTensor& rotation,
                                  const OptionalTensor& target2d, const OptionalTensor& root,
                                  const OptionalTensor& intrinsics,
                                  const std::vector<int64_t>& parents, int64_t needs) {
  const Tree tree = make_tree(parents);
  Staging staging(pose, 3 * tree.joints);
  const AugmentArguments arguments{pose,     bone_rotation, bone_scale, rotation,
                                   target2d, root,          intrinsics};
  const AugmentBackward op =
      arguments.stage_backward(staging, tree, grad_pose3d, grad_root, grad_pose2d, needs);
  AugmentGradients gradients = arguments.gradients(staging, op, needs);
  staging.launch<Backend>(op);
  return gradients;
}

inline Aim stage_aim(Staging& staging, const Tensor& direction, int64_t torso, const Tree& tree) {
  STD_TORCH_CHECK(torso > 0 && torso < tree.joints, "augment_aligned: no joint ", torso,
                  " for the torso to point to");
  return {staging.input(direction, 3), static_cast<int>(torso)};
}

// With the direction that the torso, from the root to joint `torso`, is turned to.
template <class Backend>
Augmented augment_aligned(const Tensor& pose, const OptionalTensor& bone_rotation,
                          const OptionalTensor& bone_scale, const OptionalTensor& rotation,
                          const OptionalTensor& target2d, const OptionalTensor& root,
                          const OptionalTensor& intrinsics, const Tensor& direction,
                          const std::vector<int64_t>& parents, int64_t torso) {
  const Tree tree = make_tree(parents);
  Staging staging(pose, 3 * tree.joints);
  const AugmentArguments arguments{pose,     bone_rotation, bone_scale, rotation,
                                   target2d, root,          intrinsics};
  AugmentAligned op{{arguments.stage(staging, tree), kAbsent, kAbsent},
                    stage_aim(staging, direction, torso, tree)};
  Augmented outputs = arguments.outputs(staging, op.augment);
  staging.launch<Backend>(op);
  return outputs;
}

// The gradients of `augment_backward`, then that of the direction.
template <class Backend>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> augment_aligned_backward(
    const OptionalTensor& grad_pose3d, const OptionalTensor& grad_root,
    const OptionalTensor& grad_pose2d, const Tensor& pose, const OptionalTensor& bone_rotation,
    const OptionalTensor& bone_scale, const OptionalTensor& rotation,
    const OptionalTensor& target2d, const OptionalTensor& root, const OptionalTensor& intrinsics,
    const Tensor& direction, const std::vector<int64_t>& parents, int64_t torso, int64_t needs) {
  const Tree tree = make_tree(parents);
  Staging staging(pose, 3 * tree.joints);
  const AugmentArguments arguments{pose,     bone_rotation, bone_scale, rotation,
                                   target2d, root,          intrinsics};
  const AugmentAlignedBackward op{
      arguments.stage_backward(staging, tree, grad_pose3d, grad_root, grad_pose2d, needs),
      stage_aim(staging, direction, torso, tree)};
  AugmentGradients gradients = arguments.gradients(staging, op.augment, needs);
  Tensor by_direction = staging.gradient(direction, op.aim.direction, 3, (needs >> 7 & 1) != 0);
  staging.launch<Backend>(op);
  return std::tuple_cat(gradients, std::make_tuple(by_direction));
}

}  // namespace poseda
