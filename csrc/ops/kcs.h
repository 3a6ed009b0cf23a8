// `kcs` and `part_kcs`, per pose: dot products of pairs of bones. ThePairs is `Pairs`, or pairs
// that are known when this is compiled.
#pragma once

#include "math/kcs.h"
#include "math/tree.h"
#include "ops/bone_motion.h"
#include "ops/pairs.h"

namespace poseda {

// Turns and scales bones `from` into `to`, which may be one place. Flat bones do not move.
template <int D, class T>
POSEDA_INLINE void move_bones(const BoneMotion& motion, const Tree& tree, T* tile, int from,
                              int to) {
  if constexpr (D == 3) {
    if (!motion.moves()) return;
    in_groups(1, tree.joints, [&](auto count, int first) {
      constexpr int kBones = decltype(count)::value;
      Vec3<T> bones[kBones];
      MovedBone<T> moves[kBones];
#pragma unroll
      for (int i = 0; i < kBones; ++i) bones[i] = load3(tile + from + 3 * (first + i));
      motion.template move<false, kBones>(tile, first, bones, moves);
#pragma unroll
      for (int i = 0; i < kBones; ++i) store3(tile + to + 3 * (first + i), moves[i].moved());
    });
  }
}

template <int D, class ThePairs = Pairs>
struct Kcs {
  Tree tree;
  ThePairs pairs;
  bool unit_bones;
  BoneMotion motion;
  int pose, features;

  static constexpr int kMaxRows = (D + 3 + 1) * kMaxJoints + Pairs::kMax;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    T* bones = tile + pose;
    pose_to_bones<D>(tree, bones);
    move_bones<D>(motion, tree, tile, pose, pose);
    if (unit_bones)
      for (int j = 1; j < tree.joints; ++j) unit<D>(bones + D * j, bones + D * j);
    pairs.template multiply<D>(bones, tile + features);
  }
};

// Leaves the gradients by the bones' motion in their places. `moved`, `multiplied` and `grad_pose`
// are room for a pose each; `moved` may be `pose` where bones do not move, and `multiplied` may be
// `moved` where they are not made unit bones.
template <int D, class ThePairs = Pairs>
struct KcsBackward {
  Tree tree;
  ThePairs pairs;
  bool unit_bones;
  BoneMotion motion;
  int pose, grad_features, moved, multiplied, grad_pose;

  static constexpr int kMaxRows = (4 * D + 3 + 1) * kMaxJoints + Pairs::kMax;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    T* grad = tile + grad_pose;
    pose_to_bones<D>(tree, tile + pose);
    move_bones<D>(motion, tree, tile, pose, moved);
    if (unit_bones)
      for (int j = 1; j < tree.joints; ++j)
        unit<D>(tile + moved + D * j, tile + multiplied + D * j);
    for (int i = D; i < D * tree.joints; ++i) grad[i] = T(0);
    pairs.template multiply_vjp<D>(tile + multiplied, tile + grad_features, grad);
    if (unit_bones)
      for (int j = 1; j < tree.joints; ++j) unit_vjp<D>(tile + moved + D * j, grad + D * j);
    if constexpr (D == 3) motion_vjp(tile, grad);
    pose_to_bones_vjp<D>(tree, grad);
  }

 private:
  template <class T>
  POSEDA_INLINE void motion_vjp(T* tile, T* grad) const {
    if (!motion.moves()) return;
    in_groups(1, tree.joints, [&](auto count, int first) {
      constexpr int kBones = decltype(count)::value;
      Vec3<T> bones[kBones], grads[kBones];
      MovedBone<T> moves[kBones];
#pragma unroll
      for (int i = 0; i < kBones; ++i) {
        bones[i] = load3(tile + pose + 3 * (first + i));
        grads[i] = load3(grad + 3 * (first + i));
      }
      motion.template move<true, kBones>(tile, first, bones, moves);
      motion.template vjp<kBones>(tile, first, bones, moves, grads);
#pragma unroll
      for (int i = 0; i < kBones; ++i) store3(grad + 3 * (first + i), grads[i]);
    });
  }
};

}  // namespace poseda
