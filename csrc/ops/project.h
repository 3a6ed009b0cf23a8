// `project`, per pose: its points onto the image, with the lens where one is given.
#pragma once

#include "math/project.h"
#include "math/tree.h"
#include "ops/fields.h"

namespace poseda {

template <class T>
POSEDA_INLINE Lens<T> load_lens(const T* p) {
  return {p[0], p[1], p[2], p[3], p[4]};
}

struct Project {
  int count, points, intrinsics, distortion, pose2d;

  static constexpr int kMaxRows = 5 * kMaxJoints + 16;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    const Intrinsics<T> k = load_intrinsics(tile + intrinsics);
    for (int i = 0; i < count; ++i) {
      Vec2<T> plane = to_plane(load3(tile + points + 3 * i));
      if (distortion != kAbsent) plane = distort(plane, load_lens(tile + distortion));
      store2(tile + pose2d + 2 * i, to_pixel(plane, k));
    }
  }
};

// Leaves the gradient of every input in the input's place.
struct ProjectBackward {
  int count, points, intrinsics, distortion, grad_pose2d;

  static constexpr int kMaxRows = 5 * kMaxJoints + 16;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    const Intrinsics<T> k = load_intrinsics(tile + intrinsics);
    const bool distorts = distortion != kAbsent;
    const Lens<T> lens = distorts ? load_lens(tile + distortion) : Lens<T>{};
    Intrinsics<T> grad_k{T(0), T(0), T(0), T(0)};
    Lens<T> grad_lens{T(0), T(0), T(0), T(0), T(0)};
    for (int i = 0; i < count; ++i) {
      const Vec3<T> point = load3(tile + points + 3 * i);
      const Vec2<T> plane = to_plane(point);
      const Vec2<T> seen = distorts ? distort(plane, lens) : plane;
      Vec2<T> grad = to_pixel_vjp(seen, k, load2(tile + grad_pose2d + 2 * i), grad_k);
      if (distorts) grad = distort_vjp(plane, lens, grad, grad_lens);
      store3(tile + points + 3 * i, to_plane_vjp(point, grad));
    }
    store_intrinsics(tile + intrinsics, grad_k);
    if (distorts) {
      const T values[5] = {grad_lens.k1, grad_lens.k2, grad_lens.k3, grad_lens.p1, grad_lens.p2};
      for (int i = 0; i < 5; ++i) tile[distortion + i] = values[i];
    }
  }
};

}  // namespace poseda
