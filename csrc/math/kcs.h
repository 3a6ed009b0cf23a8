// Dot products of bones (kinematic chain space) and of unit bones, with their vector-Jacobian
// products.
#pragma once

#include "math/constants.h"
#include "math/scalar.h"

namespace poseda {

template <int D, class T>
POSEDA_INLINE T dot(const T* a, const T* b) {
  T total = a[0] * b[0];
  for (int d = 1; d < D; ++d) total = total + a[d] * b[d];
  return total;
}

// Adds what the gradient by the product gives to the gradients by both.
template <int D, class T>
POSEDA_INLINE void dot_vjp(T by, const T* a, const T* b, T* by_a, T* by_b) {
  for (int d = 0; d < D; ++d) by_a[d] = by_a[d] + by * b[d];
  for (int d = 0; d < D; ++d) by_b[d] = by_b[d] + by * a[d];
}

// 1 / length, or zero for a bone not longer than kMinBoneLength.
template <int D, class T>
POSEDA_INLINE T inverse_length(const T* bone) {
  const T squared = dot<D>(bone, bone);
  const auto long_enough = squared > T(kMinBoneLength * kMinBoneLength);
  return keep(long_enough, T(1) / square_root(select(long_enough, squared, T(1))));
}

template <int D, class T>
POSEDA_INLINE void unit(const T* bone, T* result) {
  const T inverse = inverse_length<D>(bone);
  for (int d = 0; d < D; ++d) result[d] = inverse * bone[d];
}

// In place: the gradient by the unit vector becomes that by the bone.
template <int D, class T>
POSEDA_INLINE void unit_vjp(const T* bone, T* grad) {
  const T inverse = inverse_length<D>(bone);
  const T along = inverse * inverse * dot<D>(bone, grad);
  for (int d = 0; d < D; ++d) grad[d] = inverse * (grad[d] - along * bone[d]);
}

}  // namespace poseda
