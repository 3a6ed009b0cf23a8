// Host side of `bones` and `pose_from_bones`; Backend is Cpu or Cuda.
#pragma once

#include <tuple>

#include "host/staging.h"
#include "ops/bones.h"

namespace poseda {

// Calls body(std::integral_constant<int, D>) for the last dimension D of a tensor, 2 or 3.
template <class Body>
auto with_dimension(const Tensor& tensor, const Body& body) {
  const int64_t d = tensor.size(-1);
  STD_TORCH_CHECK(d == 2 || d == 3, "poseda: got ", d, " coordinates per joint, expected 2 or 3");
  return d == 2 ? body(std::integral_constant<int, 2>{}) : body(std::integral_constant<int, 3>{});
}

template <class Backend>
Tensor bones_op(const Tensor& pose, const std::vector<int64_t>& parents) {
  return with_dimension(pose, [&](auto dimension) {
    constexpr int D = decltype(dimension)::value;
    const Tree tree = make_tree(parents);
    Staging staging(pose, D * tree.joints);
    const int slot = staging.input(pose, D * tree.joints);
    Tensor bones = staging.output(slot + D, D * (tree.joints - 1),
                                  replace_tail(pose, 2, {tree.joints - 1, D}));
    staging.launch<Backend>(Bones<D>{tree, slot});
    return bones;
  });
}

template <class Backend>
Tensor bones_backward(const OptionalTensor& grad_bones, const Tensor& pose,
                      const std::vector<int64_t>& parents, int64_t needs) {
  return with_dimension(pose, [&](auto dimension) {
    constexpr int D = decltype(dimension)::value;
    const Tree tree = make_tree(parents);
    Staging staging(pose, D * tree.joints);
    const int slot = staging.rows(D);
    staging.input_or_zero(grad_bones, D * (tree.joints - 1));
    Tensor grad_pose = staging.gradient(pose, slot, D * tree.joints, needs & 1);
    staging.launch<Backend>(BonesBackward<D>{tree, slot});
    return grad_pose;
  });
}

template <class Backend>
Tensor pose_from_bones_op(const Tensor& bones, const OptionalTensor& root,
                          const std::vector<int64_t>& parents) {
  return with_dimension(bones, [&](auto dimension) {
    constexpr int D = decltype(dimension)::value;
    const Tree tree = make_tree(parents);
    Staging staging(bones, D * (tree.joints - 1));
    const int slot = staging.input_or_zero(root, D);
    staging.input(bones, D * (tree.joints - 1));
    Tensor pose = staging.output(slot, D * tree.joints, replace_tail(bones, 2, {tree.joints, D}));
    staging.launch<Backend>(PoseFromBones<D>{tree, slot});
    return pose;
  });
}

template <class Backend>
std::tuple<Tensor, Tensor> pose_from_bones_backward(const OptionalTensor& grad_pose,
                                                    const Tensor& bones, const OptionalTensor& root,
                                                    const std::vector<int64_t>& parents,
                                                    int64_t needs) {
  return with_dimension(bones, [&](auto dimension) {
    constexpr int D = decltype(dimension)::value;
    const Tree tree = make_tree(parents);
    Staging staging(bones, D * (tree.joints - 1));
    const int slot = staging.input_or_zero(grad_pose, D * tree.joints);
    std::tuple<Tensor, Tensor> grads{
        staging.gradient(bones, slot + D, D * (tree.joints - 1), needs & 1),
        staging.gradient(root, slot, D, needs & 2)};
    staging.launch<Backend>(PoseFromBonesBackward<D>{tree, slot});
    return grads;
  });
}

}  // namespace poseda
