// `augment` with a direction, per pose: between the bones and the body's rotation the body is
// turned about the root, by the smallest rotation that takes the torso to a given direction. A
// kernel of its own, so that augment without it costs what it did.
#pragma once

#include "math/align.h"
#include "ops/augment.h"

namespace poseda {

// Turns joints about the root, in place, and returns their box in x and y.
template <class T>
POSEDA_INLINE Box<T> turn_joints(const Matrix3<T>& turn, int joints, T* pose) {
  const Vec3<T> origin = multiply(turn, load3(pose));
  store3(pose, origin);
  Box<T> box = box_at(Vec2<T>{origin.x, origin.y});
  in_groups(1, joints, [&](auto count, int first) {
    constexpr int kJoints = decltype(count)::value;
    Vec3<T> turned[kJoints];
#pragma unroll
    for (int i = 0; i < kJoints; ++i) turned[i] = multiply(turn, load3(pose + 3 * (first + i)));
#pragma unroll
    for (int i = 0; i < kJoints; ++i) {
      store3(pose + 3 * (first + i), turned[i]);
      extend(box, turned[i].x, turned[i].y);
    }
  });
  return box;
}

// The direction's slot, and the joint that the torso points to from the root.
struct Aim {
  int direction, torso;

  // Builds the root-relative pose in `out`, as chain_bones does, and turns it. Returns its box.
  template <class T>
  POSEDA_INLINE Box<T> build_pose(const AugmentInputs& in, const T* tile, T* out,
                                  Vec3<T>& torso_before) const {
    chain_bones(in, false, Matrix3<T>{}, tile, out);
    torso_before = load3(out + 3 * torso);
    Matrix3<T> turn = rotation_matrix(align(torso_before, load3(tile + direction)));
    if (in.rotation != kAbsent) turn = multiply(body_rotation(in, tile), turn);
    return turn_joints(turn, in.tree.joints, out);
  }
};

struct AugmentAligned {
  Augment augment;
  Aim aim;

  static constexpr int kMaxRows = Augment::kMaxRows;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    const AugmentInputs& in = augment.in;
    pose_to_bones<3>(in.tree, tile + in.pose);
    Vec3<T> torso;
    const Box<T> box = aim.build_pose(in, tile, tile + in.pose, torso);
    if (in.intrinsics != kAbsent) augment.place(tile, box);
  }
};

struct AugmentAlignedBackward {
  AugmentBackward augment;
  Aim aim;

  static constexpr int kMaxRows = AugmentBackward::kMaxRows;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    const AugmentInputs& in = augment.in;
    pose_to_bones<3>(in.tree, tile + in.pose);
    Vec3<T> torso;
    const Box<T> box = aim.build_pose(in, tile, tile + augment.moved, torso);
    store3(tile + in.pose, torso);  // nothing else looks at the root any more
    if (in.intrinsics != kAbsent) augment.place_vjp(tile, box);
    turn_vjp(tile);
    pose_to_bones_vjp<3>(in.tree, tile + in.pose);
  }

 private:
  // The joints are y = N R x with gradients g; R aligns the torso, N is the body's rotation.
  template <class T>
  POSEDA_INLINE void turn_vjp(T* tile) const {
    const AugmentInputs& in = augment.in;
    const Alignment<T> alignment = align(load3(tile + in.pose), load3(tile + aim.direction));
    const Matrix3<T> aligned = rotation_matrix(alignment);
    Matrix3<T> turn = aligned, outer = outer_products(tile);
    if (in.rotation != kAbsent) {
      const Vec3<T> w = load3(tile + in.rotation);
      const RotationCoefficients<T> c = rotation_coefficients<true>(dot(w, w));
      const Matrix3<T> body = rotation_matrix(w, c);
      outer = multiply(outer, body);  // sum g (R x)^T
      store3(tile + in.rotation, axis_angle_vjp(w, c, outer));
      outer = multiply_transposed(body, outer);
      turn = multiply(body, turn);
    }
    Vec3<T> by_torso, by_direction;
    align_vjp(alignment, multiply(outer, aligned), by_torso, by_direction);
    store3(tile + aim.direction, by_direction);
    T* at_torso = tile + augment.grad_pose3d + 3 * aim.torso;
    store3(at_torso, load3(at_torso) + multiply(turn, by_torso));
    augment.template chain_bones_vjp<true>(tile, turn);
  }

  // sum g y^T over the joints but the root, which stays where it is.
  template <class T>
  POSEDA_INLINE Matrix3<T> outer_products(const T* tile) const {
    const Vec3<T> zero{T(0), T(0), T(0)};
    Matrix3<T> outer{zero, zero, zero};
    in_groups(1, augment.in.tree.joints, [&](auto count, int first) {
      constexpr int kJoints = decltype(count)::value;
#pragma unroll
      for (int i = 0; i < kJoints; ++i)
        add_outer(outer, load3(tile + augment.grad_pose3d + 3 * (first + i)),
                  load3(tile + augment.moved + 3 * (first + i)));
    });
    return outer;
  }
};

}  // namespace poseda
