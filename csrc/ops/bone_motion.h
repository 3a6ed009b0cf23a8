// Turning and scaling a bone, per pose: what `augment` and `part_kcs` share.
#pragma once

#include "math/rotation.h"
#include "ops/fields.h"

namespace poseda {

// A bone as it was turned and scaled, with what its vector-Jacobian product needs.
template <class T>
struct MovedBone {
  Vec3<T> axis_angle;
  RotationCoefficients<T> coefficients;
  Vec3<T> turned;
  T length;  // as a multiple of the bone's

  POSEDA_INLINE Vec3<T> moved() const { return length * turned; }
};

// Tile slots of the rotation and the scale of every bone, kAbsent where they were not given.
struct BoneMotion {
  int rotation, scale;

  POSEDA_INLINE bool moves() const { return rotation != kAbsent || scale != kAbsent; }

  // The bones that end in joint `first` and those after it.
  template <bool kForVjp, int kBones, class T>
  POSEDA_INLINE void move(const T* tile, int first, const Vec3<T>* bones,
                          MovedBone<T>* result) const {
#pragma unroll
    for (int i = 0; i < kBones; ++i) result[i] = {{}, {}, bones[i], T(1)};
    if (rotation != kAbsent) {
      T squared[kBones];
      RotationCoefficients<T> coefficients[kBones];
#pragma unroll
      for (int i = 0; i < kBones; ++i) {
        result[i].axis_angle = load3(tile + rotation + 3 * (first - 1 + i));
        squared[i] = dot(result[i].axis_angle, result[i].axis_angle);
      }
      rotation_coefficients<kForVjp, kBones>(squared, coefficients);
#pragma unroll
      for (int i = 0; i < kBones; ++i) {
        result[i].coefficients = coefficients[i];
        result[i].turned = rotate(result[i].axis_angle, coefficients[i], bones[i]);
      }
    }
    if (scale != kAbsent) {
#pragma unroll
      for (int i = 0; i < kBones; ++i) result[i].length = T(1) + tile[scale + first - 1 + i];
    }
  }

  // From the gradients at the moved bones to those at the bones, in place; the gradients by their
  // rotation and scale take their places in the tile.
  template <int kBones, class T>
  POSEDA_INLINE void vjp(T* tile, int first, const Vec3<T>* bones, const MovedBone<T>* moves,
                         Vec3<T>* grads) const {
    if (scale != kAbsent) {
#pragma unroll
      for (int i = 0; i < kBones; ++i) {
        tile[scale + first - 1 + i] = dot(grads[i], moves[i].turned);
        grads[i] = moves[i].length * grads[i];
      }
    }
    if (rotation != kAbsent) {
#pragma unroll
      for (int i = 0; i < kBones; ++i) {
        Vec3<T> by_rotation;
        rotate_vjp(moves[i].axis_angle, moves[i].coefficients, bones[i], grads[i], grads[i],
                   by_rotation);
        store3(tile + rotation + 3 * (first - 1 + i), by_rotation);
      }
    }
  }
};

}  // namespace poseda
