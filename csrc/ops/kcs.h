// `kcs` and `part_kcs`, per pose: dot products of chosen pairs of bones.
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

template <int D>
struct Kcs {
  Tree tree;
  Pairs pairs;
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
    for (int i = 0; i < pairs.count;) i = row(i, bones, tile + features);
  }

 private:
  // Pair i if it repeats one; else the pairs from i on that share their first bone, which stays in
  // registers. Returns the pair after them.
  template <class T>
  POSEDA_INLINE int row(int i, const T* bones, T* products) const {
    if (pairs.repeats(i)) {
      products[i] = products[pairs.earlier(i)];
      return i + 1;
    }
    const int a = pairs.first(i);
    T first[D];
    for (int d = 0; d < D; ++d) first[d] = bones[D * a + d];
    for (; i < pairs.count && !pairs.repeats(i) && pairs.first(i) == a; ++i)
      products[i] = dot<D>(first, bones + D * pairs.second(i));
    return i;
  }
};

// Leaves the gradients by the bones' motion in their places. `moved`, `multiplied` and `grad_pose`
// are room for a pose each; `moved` may be `pose` where bones do not move, and `multiplied` may be
// `moved` where they are not made unit bones.
template <int D>
struct KcsBackward {
  Tree tree;
  Pairs pairs;
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
    T* by_product = tile + grad_features;
    for (int i = 0; i < pairs.count; ++i)
      if (pairs.repeats(i))
        by_product[pairs.earlier(i)] = by_product[pairs.earlier(i)] + by_product[i];
    for (int i = 0; i < pairs.count;) i = row_vjp(i, tile + multiplied, by_product, grad);
    if (unit_bones)
      for (int j = 1; j < tree.joints; ++j) unit_vjp<D>(tile + moved + D * j, grad + D * j);
    if constexpr (D == 3) motion_vjp(tile, grad);
    pose_to_bones_vjp<D>(tree, grad);
  }

 private:
  // As `Kcs::row`; the first bone's gradient stays in registers too.
  template <class T>
  POSEDA_INLINE int row_vjp(int i, const T* bones, const T* by_product, T* grad) const {
    if (pairs.repeats(i)) return i + 1;
    const int a = pairs.first(i);
    T first[D], by_first[D];
    for (int d = 0; d < D; ++d) first[d] = bones[D * a + d];
    for (int d = 0; d < D; ++d) by_first[d] = T(0);
    for (; i < pairs.count && !pairs.repeats(i) && pairs.first(i) == a; ++i) {
      const T *second = bones + D * pairs.second(i), by = by_product[i];
      T *to = grad + D * pairs.second(i), by_second[D];
      for (int d = 0; d < D; ++d) by_first[d] = by_first[d] + by * second[d];
      for (int d = 0; d < D; ++d) by_second[d] = to[d] + by * first[d];
      for (int d = 0; d < D; ++d) to[d] = by_second[d];
    }
    for (int d = 0; d < D; ++d) grad[D * a + d] = grad[D * a + d] + by_first[d];
    return i;
  }

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
