// The joint tree, and the maps between poses and bones, each with its transpose. All work in place:
// joint j's D numbers stand at D * j, and the bone that ends in joint j takes the joint's place.
#pragma once

#include <cstdint>

#include "math/scalar.h"

namespace poseda {

constexpr int kMaxJoints = 64;

// parents[j] < j; parents[0] is not used.
struct Tree {
  int32_t joints;
  int8_t parents[kMaxJoints];
};

// Joint minus parent, children first; the root stays.
template <int D, class T>
POSEDA_INLINE void pose_to_bones(const Tree& tree, T* pose) {
  in_groups(0, tree.joints - 1, [&](auto count, int done) {
    constexpr int kJoints = decltype(count)::value;
    const int last = tree.joints - 1 - done;
    T bones[kJoints][D];
#pragma unroll
    for (int i = 0; i < kJoints; ++i)
      for (int d = 0; d < D; ++d)
        bones[i][d] = pose[D * (last - i) + d] - pose[D * tree.parents[last - i] + d];
#pragma unroll
    for (int i = 0; i < kJoints; ++i)
      for (int d = 0; d < D; ++d) pose[D * (last - i) + d] = bones[i][d];
  });
}

// Transpose: the gradient by each bone becomes that by each joint; the root's is overwritten.
template <int D, class T>
POSEDA_INLINE void pose_to_bones_vjp(const Tree& tree, T* grad) {
  for (int d = 0; d < D; ++d) grad[d] = T(0);
  for (int j = 1; j < tree.joints; ++j)
    for (int d = 0; d < D; ++d)
      grad[D * tree.parents[j] + d] = grad[D * tree.parents[j] + d] - grad[D * j + d];
}

// Sums of bones from the root on, parents first.
template <int D, class T>
POSEDA_INLINE void bones_to_pose(const Tree& tree, T* bones) {
  for (int j = 1; j < tree.joints; ++j)
    for (int d = 0; d < D; ++d)
      bones[D * j + d] = bones[D * tree.parents[j] + d] + bones[D * j + d];
}

// Transpose: each joint's gradient is added to its parent's, children first.
template <int D, class T>
POSEDA_INLINE void bones_to_pose_vjp(const Tree& tree, T* grad) {
  for (int j = tree.joints - 1; j > 0; --j)
    for (int d = 0; d < D; ++d)
      grad[D * tree.parents[j] + d] = grad[D * tree.parents[j] + d] + grad[D * j + d];
}

}  // namespace poseda
