// `gpa`, per pose: the root that gives a pose the 2D box size and the 2D root of a target.
#pragma once

#include "math/gpa.h"
#include "math/tree.h"
#include "ops/fields.h"

namespace poseda {

// The box of the pose relative to its root, which is subtracted in place.
template <class T>
POSEDA_INLINE Box<T> root_relative_box(T* pose, int joints) {
  const Vec3<T> root = load3(pose);
  for (int j = 0; j < joints; ++j) store3(pose + 3 * j, load3(pose + 3 * j) - root);
  return box_of(pose, joints, 3);
}

struct Gpa {
  int joints, pose, target2d, intrinsics, root;

  static constexpr int kMaxRows = 5 * kMaxJoints + 16;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    const Vec2<T> pose_extent = extent(root_relative_box(tile + pose, joints));
    const T* target = tile + target2d;
    const Vec2<T> target_extent = extent(box_of(target, joints, 2));
    store3(tile + root,
           gpa(pose_extent, target_extent, load2(target), load_intrinsics(tile + intrinsics)));
  }
};

struct GpaBackward {
  int joints, pose, target2d, intrinsics, grad_root, grad_pose, grad_target2d;

  static constexpr int kMaxRows = 10 * kMaxJoints + 16;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    for (int i = 0; i < 3 * joints; ++i) tile[grad_pose + i] = T(0);
    for (int i = 0; i < 2 * joints; ++i) tile[grad_target2d + i] = T(0);
    const Box<T> box = root_relative_box(tile + pose, joints);
    const T* target = tile + target2d;
    const Box<T> target_box = box_of(target, joints, 2);
    Intrinsics<T> grad_k{T(0), T(0), T(0), T(0)};
    const GpaGrads<T> g =
        gpa_vjp(extent(box), extent(target_box), load2(target), load_intrinsics(tile + intrinsics),
                load3(tile + grad_root), grad_k);
    extent_vjp(box, g.pose_extent, tile + pose, tile + grad_pose, joints, 3);
    extent_vjp(target_box, g.target_extent, target, tile + grad_target2d, joints, 2);
    tile[grad_target2d] = tile[grad_target2d] + g.target_root.x;
    tile[grad_target2d + 1] = tile[grad_target2d + 1] + g.target_root.y;
    store_intrinsics(tile + intrinsics, grad_k);
  }
};

}  // namespace poseda
