// `kcs` and `part_kcs`, per pose: dot products of chosen pairs of bones.
#pragma once

#include "math/kcs.h"
#include "math/tree.h"
#include "ops/fields.h"

namespace poseda {

// The pairs of joints whose bones are multiplied, in the order of the output.
struct Pairs {
  static constexpr int kMax = 4096;  // 63 bones by 63 bones fit
  int32_t count;
  uint8_t first[kMax], second[kMax];
};

template <int D>
struct Kcs {
  Tree tree;
  Pairs pairs;
  bool unit_bones;
  int pose, features;

  static constexpr int kMaxRows = D * kMaxJoints + Pairs::kMax;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    T* bones = tile + pose;
    pose_to_bones<D>(tree, bones);
    if (unit_bones)
      for (int j = 1; j < tree.joints; ++j) unit<D>(bones + D * j, bones + D * j);
    for (int i = 0; i < pairs.count; ++i)
      tile[features + i] = dot<D>(bones + D * pairs.first[i], bones + D * pairs.second[i]);
  }
};

// `multiplied` and `grad_pose` are room for a pose each.
template <int D>
struct KcsBackward {
  Tree tree;
  Pairs pairs;
  bool unit_bones;
  int pose, grad_features, multiplied, grad_pose;

  static constexpr int kMaxRows = 3 * D * kMaxJoints + Pairs::kMax;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    const T* bones = tile + pose;
    T* factors = tile + multiplied;
    T* grad = tile + grad_pose;
    pose_to_bones<D>(tree, tile + pose);
    for (int i = D; i < D * tree.joints; ++i) {
      factors[i] = bones[i];
      grad[i] = T(0);
    }
    if (unit_bones)
      for (int j = 1; j < tree.joints; ++j) unit<D>(bones + D * j, factors + D * j);
    for (int i = 0; i < pairs.count; ++i) {
      const int a = D * pairs.first[i], b = D * pairs.second[i];
      const T by_product = tile[grad_features + i];
      for (int d = 0; d < D; ++d) grad[a + d] = grad[a + d] + by_product * factors[b + d];
      for (int d = 0; d < D; ++d) grad[b + d] = grad[b + d] + by_product * factors[a + d];
    }
    if (unit_bones)
      for (int j = 1; j < tree.joints; ++j) unit_vjp<D>(bones + D * j, grad + D * j);
    pose_to_bones_vjp<D>(tree, grad);
  }
};

}  // namespace poseda
