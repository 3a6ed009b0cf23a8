// Host side of `kcs` and `part_kcs`; Backend is Cpu or Cuda.
#pragma once

#include <algorithm>
#include <tuple>
#include <type_traits>

#include "host/bones.h"
#include "host/staging.h"
#include "ops/kcs.h"
#include "ops/known_pairs.h"

namespace poseda {

// The pairs a <= b within each part; bone b ends in joint b + 1.
inline Pairs part_pairs(const Tree& tree, const std::vector<int64_t>& part_bones,
                        const std::vector<int64_t>& sizes) {
  for (const int64_t bone : part_bones)
    STD_TORCH_CHECK(bone >= 0 && bone < tree.joints - 1, "part_kcs: no bone ", bone);
  PairList list;
  size_t end = 0;
  for (const int64_t size : sizes) {
    const size_t begin = end;
    end += static_cast<size_t>(size);
    STD_TORCH_CHECK(size >= 0 && end <= part_bones.size(), "part_kcs: sizes do not fit part_bones");
    STD_TORCH_CHECK(list.pairs().count + size * (size + 1) / 2 <= Pairs::kMax,
                    "part_kcs: got more than ", Pairs::kMax, " features");
    for (size_t a = begin; a < end; ++a)
      for (size_t b = a; b < end; ++b) list.add(part_bones[a] + 1, part_bones[b] + 1);
  }
  return list.pairs();
}

// Calls body with `H36mPairs` where these are they and the backend has kernels for them, else with
// `pairs`.
template <class Backend, int D, class Body>
auto with_pairs(const Pairs& pairs, const Body& body) {
  if constexpr (Backend::kKnowsPairs && D == 3) {
    constexpr const Pairs& known = H36mPairs::kPairs;
    if (pairs.count == known.count &&
        std::equal(pairs.codes, pairs.codes + pairs.count, known.codes))
      return body(H36mPairs{});
  }
  return body(pairs);
}

// The tensors that move bones before they are multiplied.
struct MotionArguments {
  OptionalTensor bone_rotation, bone_scale;

  BoneMotion stage(Staging& staging, const Tree& tree, int dimension) const {
    const BoneMotion motion{staging.input(bone_rotation, 3 * (tree.joints - 1)),
                            staging.input(bone_scale, tree.joints - 1)};
    STD_TORCH_CHECK(dimension == 3 || !motion.moves(), "part_kcs: only 3D bones can move");
    return motion;
  }
};

template <class Backend>
Tensor pair_products(const Tensor& pose, const MotionArguments& arguments, const Tree& tree,
                     const Pairs& pairs, bool unit, const Sizes& shape) {
  return with_dimension(pose, [&](auto dimension) {
    constexpr int D = decltype(dimension)::value;
    return with_pairs<Backend, D>(pairs, [&](const auto& fast_pairs) {
      Staging staging(pose, D * tree.joints);
      Kcs<D, std::decay_t<decltype(fast_pairs)>> op{tree, fast_pairs, unit, {kAbsent, kAbsent},
                                                    0,    0};
      op.pose = staging.input(pose, D * tree.joints);
      op.motion = arguments.stage(staging, tree, D);
      op.features = staging.rows(pairs.count);
      Tensor features = staging.output(op.features, pairs.count, shape);
      staging.launch<Backend>(op);
      return features;
    });
  });
}

// Gradients by the pose, the bone rotation and the bone scale.
using KcsGradients = std::tuple<Tensor, Tensor, Tensor>;

template <class Backend>
KcsGradients pair_products_backward(const OptionalTensor& grad, const Tensor& pose,
                                    const MotionArguments& arguments, const Tree& tree,
                                    const Pairs& pairs, bool unit, int64_t needs) {
  return with_dimension(pose, [&](auto dimension) {
    constexpr int D = decltype(dimension)::value;
    return with_pairs<Backend, D>(pairs, [&](const auto& fast_pairs) {
      Staging staging(pose, D * tree.joints);
      KcsBackward<D, std::decay_t<decltype(fast_pairs)>> op{
          tree, fast_pairs, unit, {kAbsent, kAbsent}, 0, 0, 0, 0, 0};
      op.pose = staging.input(pose, D * tree.joints);
      op.motion = arguments.stage(staging, tree, D);
      op.grad_features = staging.input_or_zero(grad, pairs.count);
      op.moved = op.motion.moves() ? staging.rows(D * tree.joints) : op.pose;
      op.multiplied = unit ? staging.rows(D * tree.joints) : op.moved;
      op.grad_pose = staging.rows(D * tree.joints);
      const int bones = tree.joints - 1;
      KcsGradients grads{
          staging.gradient(pose, op.grad_pose, D * tree.joints, needs & 1),
          staging.gradient(arguments.bone_rotation, op.motion.rotation, 3 * bones, needs & 2),
          staging.gradient(arguments.bone_scale, op.motion.scale, bones, needs & 4)};
      staging.launch<Backend>(op);
      return grads;
    });
  });
}

template <class Backend>
Tensor kcs_op(const Tensor& pose, const std::vector<int64_t>& parents, bool unit) {
  const Tree tree = make_tree(parents);
  const Sizes shape = replace_tail(pose, 2, {tree.joints - 1, tree.joints - 1});
  return pair_products<Backend>(pose, {{}, {}}, tree, all_pairs(tree), unit, shape);
}

template <class Backend>
Tensor kcs_backward(const OptionalTensor& grad, const Tensor& pose,
                    const std::vector<int64_t>& parents, bool unit, int64_t needs) {
  const Tree tree = make_tree(parents);
  return std::get<0>(pair_products_backward<Backend>(grad, pose, {{}, {}}, tree, all_pairs(tree),
                                                     unit, needs & 1));
}

template <class Backend>
Tensor part_kcs_op(const Tensor& pose, const OptionalTensor& bone_rotation,
                   const OptionalTensor& bone_scale, const std::vector<int64_t>& parents,
                   const std::vector<int64_t>& part_bones, const std::vector<int64_t>& sizes,
                   bool unit) {
  const Tree tree = make_tree(parents);
  const Pairs pairs = part_pairs(tree, part_bones, sizes);
  return pair_products<Backend>(pose, {bone_rotation, bone_scale}, tree, pairs, unit,
                                replace_tail(pose, 2, {pairs.count}));
}

template <class Backend>
KcsGradients part_kcs_backward(const OptionalTensor& grad, const Tensor& pose,
                               const OptionalTensor& bone_rotation,
                               const OptionalTensor& bone_scale,
                               const std::vector<int64_t>& parents,
                               const std::vector<int64_t>& part_bones,
                               const std::vector<int64_t>& sizes, bool unit, int64_t needs) {
  const Tree tree = make_tree(parents);
  return pair_products_backward<Backend>(grad, pose, {bone_rotation, bone_scale}, tree,
                                         part_pairs(tree, part_bones, sizes), unit, needs);
}

}  // namespace poseda
