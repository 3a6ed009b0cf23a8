// `bones` and `pose_from_bones`, per pose, with D numbers per joint. All four work in place.
#pragma once

#include "math/tree.h"
#include "ops/fields.h"

namespace poseda {

template <int D>
struct Bones {
  Tree tree;
  int pose;

  static constexpr int kMaxRows = D * kMaxJoints;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    pose_to_bones<D>(tree, tile + pose);
  }
};

template <int D>
struct BonesBackward {
  Tree tree;
  int grad;  // D free rows, then the gradients of the bones

  static constexpr int kMaxRows = D * kMaxJoints;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    pose_to_bones_vjp<D>(tree, tile + grad);
  }
};

template <int D>
struct PoseFromBones {
  Tree tree;
  int root;  // the root, then the bones

  static constexpr int kMaxRows = D * kMaxJoints;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    bones_to_pose<D>(tree, tile + root);
  }
};

template <int D>
struct PoseFromBonesBackward {
  Tree tree;
  int grad;

  static constexpr int kMaxRows = D * kMaxJoints;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    bones_to_pose_vjp<D>(tree, tile + grad);
  }
};

}  // namespace poseda
