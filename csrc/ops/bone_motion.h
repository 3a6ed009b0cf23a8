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

  // The bone that ends in joint j.
  template <bool kForVjp, class T>
  POSEDA_INLINE MovedBone<T> move(const T* tile, int j, Vec3<T> bone) const {
    MovedBone<T> result{{}, {}, bone, T(1)};
    if (rotation != kAbsent) {
      const Vec3<T> w = load3(tile + rotation + 3 * (j - 1));
      result.axis_angle = w;
      result.coefficients = rotation_coefficients<kForVjp>(dot(w, w));
      result.turned = rotate(w, result.coefficients, bone);
    }
    if (scale != kAbsent) result.length = T(1) + tile[scale + j - 1];
    return result;
  }

  // From the gradient at the moved bone to that at the bone; the gradients by its rotation and
  // scale take their places in the tile.
  template <class T>
  POSEDA_INLINE Vec3<T> vjp(T* tile, int j, Vec3<T> bone, const MovedBone<T>& m,
                            Vec3<T> grad) const {
    if (scale != kAbsent) {
      tile[scale + j - 1] = dot(grad, m.turned);
      grad = m.length * grad;
    }
    if (rotation != kAbsent) {
      Vec3<T> by_rotation;
      rotate_vjp(m.axis_angle, m.coefficients, bone, grad, grad, by_rotation);
      store3(tile + rotation + 3 * (j - 1), by_rotation);
    }
    return grad;
  }
};

}  // namespace poseda
