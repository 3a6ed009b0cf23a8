// `augment`, per pose: turn and scale bones, rotate the body, place it, project it.
//
// A tile row is a number of T: of one pose in CUDA, of one vector of poses on the CPU.
#pragma once

#include "math/gpa.h"
#include "math/project.h"
#include "math/rotation.h"
#include "math/tree.h"
#include "ops/bone_motion.h"

namespace poseda {

// Tile slots of the inputs, kAbsent where one was not given.
struct AugmentInputs {
  Tree tree;  // a star (every parent the root) where bones neither turn nor scale
  BoneMotion bones;
  int pose, rotation, target2d, root, intrinsics;
};

template <class T>
POSEDA_INLINE Matrix3<T> body_rotation(const AugmentInputs& in, const T* tile) {
  const Vec3<T> w = load3(tile + in.rotation);
  return rotation_matrix(w, rotation_coefficients<false>(dot(w, w)));
}

// Builds the root-relative pose in `out` from the bones in `tile[in.pose]`, which it moves and, if
// it `turns`, turns; both may be one place. Returns its box in x and y.
template <class T>
POSEDA_INLINE Box<T> chain_bones(const AugmentInputs& in, bool turns, const Matrix3<T>& turn,
                                 const T* tile, T* out) {
  Vec3<T> origin = load3(tile + in.pose);
  origin = origin - origin;  // NaN stays
  if (turns) origin = multiply(turn, origin);
  Box<T> box = box_at(Vec2<T>{origin.x, origin.y});
  store3(out, origin);
  in_groups(1, in.tree.joints, [&](auto count, int first) {
    constexpr int kBones = decltype(count)::value;
    Vec3<T> bones[kBones];
    MovedBone<T> moves[kBones];
#pragma unroll
    for (int i = 0; i < kBones; ++i) bones[i] = load3(tile + in.pose + 3 * (first + i));
    in.bones.template move<false, kBones>(tile, first, bones, moves);
#pragma unroll
    for (int i = 0; i < kBones; ++i) bones[i] = moves[i].moved();
    if (turns) {
#pragma unroll
      for (int i = 0; i < kBones; ++i) bones[i] = multiply(turn, bones[i]);
    }
#pragma unroll
    for (int i = 0; i < kBones; ++i) {
      const Vec3<T> joint = load3(out + 3 * in.tree.parents[first + i]) + bones[i];
      store3(out + 3 * (first + i), joint);
      extend(box, joint.x, joint.y);
    }
  });
  return box;
}

template <class T>
POSEDA_INLINE Box<T> build_pose(const AugmentInputs& in, const T* tile, T* out) {
  const bool turns = in.rotation != kAbsent;
  return chain_bones(in, turns, turns ? body_rotation(in, tile) : Matrix3<T>{}, tile, out);
}

// Outputs: pose3d in the place of pose; root (kAbsent unless solved by GPA); pose2d, which may
// stand in the place of target2d.
struct Augment {
  AugmentInputs in;
  int solved_root, pose2d;

  static constexpr int kMaxRows = (3 + 3 + 1 + 2) * kMaxJoints + 16;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    pose_to_bones<3>(in.tree, tile + in.pose);
    const Box<T> box = build_pose(in, tile, tile + in.pose);
    if (in.intrinsics != kAbsent) place(tile, box);
  }

  // Places the pose, whose box is given, before the camera and projects it.
  template <class T>
  POSEDA_INLINE void place(T* tile, const Box<T>& box) const {
    const Intrinsics<T> k = load_intrinsics(tile + in.intrinsics);
    if (in.target2d != kAbsent) {
      const T* target = tile + in.target2d;
      const Vec2<T> target_extent = extent(box_of(target, in.tree.joints, 2));
      store3(tile + solved_root, gpa(extent(box), target_extent, load2(target), k));
    }
    const Vec3<T> root = load3(tile + (in.target2d != kAbsent ? solved_root : in.root));
    in_groups(0, in.tree.joints, [&](auto count, int first) {
      constexpr int kPoints = decltype(count)::value;
      Vec2<T> pixels[kPoints];
#pragma unroll
      for (int i = 0; i < kPoints; ++i)
        pixels[i] = to_pixel(to_plane(load3(tile + in.pose + 3 * (first + i)) + root), k);
#pragma unroll
      for (int i = 0; i < kPoints; ++i) store2(tile + pose2d + 2 * (first + i), pixels[i]);
    });
  }
};

// Reads the gradients of the outputs and leaves the gradient of every input in the input's place,
// that of target2d, if it is wanted, in the place of pose2d's. `moved` is room for a pose.
struct AugmentBackward {
  AugmentInputs in;
  bool wants_target;
  int moved, grad_pose3d, grad_root, grad_pose2d;

  static constexpr int kMaxRows = (3 + 3 + 1 + 2 + 3 + 3 + 2) * kMaxJoints + 16;

  template <class T>
  POSEDA_INLINE void operator()(T* tile) const {
    pose_to_bones<3>(in.tree, tile + in.pose);
    const Box<T> box = build_pose(in, tile, tile + moved);
    if (in.intrinsics != kAbsent) place_vjp(tile, box);
    if (in.rotation != kAbsent) {
      body_vjp(tile);
    } else {
      chain_bones_vjp(tile, Matrix3<T>{});
    }
    pose_to_bones_vjp<3>(in.tree, tile + in.pose);
  }

  // From pose2d and root to the joints, the target, the root and the intrinsics.
  template <class T>
  POSEDA_INLINE void place_vjp(T* tile, const Box<T>& box) const {
    const int joints = in.tree.joints;
    const Intrinsics<T> k = load_intrinsics(tile + in.intrinsics);
    const Vec2<T> pose_extent = extent(box);
    const bool solves = in.target2d != kAbsent;
    Box<T> target_box{};
    Vec2<T> target_extent{}, target_root{};
    Vec3<T> root;
    if (solves) {
      target_box = box_of(tile + in.target2d, joints, 2);
      target_extent = extent(target_box);
      target_root = load2(tile + in.target2d);
      root = gpa(pose_extent, target_extent, target_root, k);
    } else {
      root = load3(tile + in.root);
    }
    Intrinsics<T> grad_k{T(0), T(0), T(0), T(0)};
    Vec3<T> by_root = solves ? load3(tile + grad_root) : Vec3<T>{T(0), T(0), T(0)};
    in_groups(0, joints, [&](auto count, int first) {
      constexpr int kPoints = decltype(count)::value;
      Vec3<T> by_joint[kPoints];
#pragma unroll
      for (int i = 0; i < kPoints; ++i) {
        const int j = first + i;
        const Vec3<T> point = load3(tile + moved + 3 * j) + root;
        const Vec2<T> by_plane =
            to_pixel_vjp(to_plane(point), k, load2(tile + grad_pose2d + 2 * j), grad_k);
        const Vec3<T> by_point = to_plane_vjp(point, by_plane);
        by_root = by_root + by_point;
        by_joint[i] = load3(tile + grad_pose3d + 3 * j) + by_point;
      }
#pragma unroll
      for (int i = 0; i < kPoints; ++i) store3(tile + grad_pose3d + 3 * (first + i), by_joint[i]);
    });
    if (solves) {
      const GpaGrads<T> g = gpa_vjp(pose_extent, target_extent, target_root, k, by_root, grad_k);
      extent_vjp(box, g.pose_extent, tile + moved, tile + grad_pose3d, joints, 3);
      if (wants_target) target_vjp(tile, target_box, g);
    } else {
      store3(tile + in.root, by_root);
    }
    store_intrinsics(tile + in.intrinsics, grad_k);
  }

  // Leaves the gradient of each bone in the bone's place. Returns sum g v^T over the moved bones v
  // before the body turns and the gradients g of what depends on them, after it. It turns if there
  // is a rotation, or `kTurns`.
  template <bool kTurns = false, class T>
  POSEDA_INLINE Matrix3<T> chain_bones_vjp(T* tile, const Matrix3<T>& turn) const {
    const Vec3<T> zero{T(0), T(0), T(0)};
    Matrix3<T> outer{zero, zero, zero};
    bones_to_pose_vjp<3>(in.tree, tile + grad_pose3d);
    in_groups(1, in.tree.joints, [&](auto count, int first) {
      constexpr int kBones = decltype(count)::value;
      Vec3<T> bones[kBones], grads[kBones];
      MovedBone<T> moves[kBones];
#pragma unroll
      for (int i = 0; i < kBones; ++i) {
        bones[i] = load3(tile + in.pose + 3 * (first + i));
        grads[i] = load3(tile + grad_pose3d + 3 * (first + i));
      }
      in.bones.template move<true, kBones>(tile, first, bones, moves);
      if (kTurns || in.rotation != kAbsent) {
#pragma unroll
        for (int i = 0; i < kBones; ++i) {
          add_outer(outer, grads[i], moves[i].moved());
          grads[i] = multiply_transposed(turn, grads[i]);
        }
      }
      in.bones.template vjp<kBones>(tile, first, bones, moves, grads);
#pragma unroll
      for (int i = 0; i < kBones; ++i) store3(tile + in.pose + 3 * (first + i), grads[i]);
    });
    return outer;
  }

 private:
  // pose2d's gradient is used up by now.
  template <class T>
  POSEDA_INLINE void target_vjp(T* tile, const Box<T>& box, const GpaGrads<T>& g) const {
    T* grad = tile + grad_pose2d;
    for (int i = 0; i < 2 * in.tree.joints; ++i) grad[i] = T(0);
    extent_vjp(box, g.target_extent, tile + in.target2d, grad, in.tree.joints, 2);
    store2(grad, {grad[0] + g.target_root.x, grad[1] + g.target_root.y});
  }

  template <class T>
  POSEDA_INLINE void body_vjp(T* tile) const {
    const Vec3<T> w = load3(tile + in.rotation);
    const RotationCoefficients<T> c = rotation_coefficients<true>(dot(w, w));
    const Matrix3<T> outer = chain_bones_vjp(tile, rotation_matrix(w, c));
    store3(tile + in.rotation, axis_angle_vjp(w, c, outer));
  }
};

}  // namespace poseda
