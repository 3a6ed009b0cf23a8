// The smallest rotation that takes one direction to another, and its vector-Jacobian product.
//
//   R = I + [v]x + [v]x^2 / (1 + c) = I - 2 h h^T + 2 b a^T
//
// with the unit vectors a and b of the two directions, v = a x b, c = a . b and h = (a + b) / |a +
// b| midway between them. The second form cancels nowhere: it is a rotation to machine precision
// from equal directions up to opposite ones, and has no angle in it.
#pragma once

#include "math/constants.h"
#include "math/rotation.h"

namespace poseda {

template <class T>
struct Unit {
  Vec3<T> vector;
  T inverse_length;
};

// A vector not longer than kMinBoneLength has no direction: `turns` is then zero, and any will do.
template <class T>
POSEDA_INLINE Unit<T> unit(Vec3<T> v, T& turns) {
  const T squared = dot(v, v);
  const auto none = T(kMinBoneLength * kMinBoneLength) >= squared;
  turns = drop(none, turns);
  v.x = select(none, T(1), v.x);
  // NaN where the square overflows
  const T inverse = T(1) / square_root(select(none, T(1), squared)) + taint(squared);
  return {inverse * v, inverse};
}

template <class T>
struct Alignment {
  Unit<T> first, second, midway;
  T twice;  // 2, or 0 where there is nothing to turn
  T slope;  // the same, and 0 where the directions are opposite
};

// Of opposite directions the axis is the camera's z axis made perpendicular to them, or its x axis
// where they lie more along z than along x.
template <class T>
POSEDA_INLINE Alignment<T> align(Vec3<T> first, Vec3<T> second) {
  Alignment<T> r;
  r.twice = T(2);
  r.first = unit(first, r.twice);
  r.second = unit(second, r.twice);
  const Vec3<T> a = r.first.vector, b = r.second.vector;
  const Vec3<T> sum = a + b - (T(0.25) * dot(a + b, a - b)) * (a - b);
  const T squared = dot(sum, sum);
  const auto opposite = T(kMinHalfway * kMinHalfway) >= squared;
  const auto along_z = a.z * a.z > a.x * a.x;
  const Vec3<T> across = {drop(along_z, a.y), select(along_z, a.z, T(0) - a.x),
                          keep(along_z, T(0) - a.y)};
  const Vec3<T> midway = {select(opposite, across.x, sum.x), select(opposite, across.y, sum.y),
                          select(opposite, across.z, sum.z)};
  const T inverse = T(1) / square_root(select(opposite, dot(across, across), squared));
  r.midway = {inverse * midway, inverse};
  r.second.vector = {select(opposite, T(0) - a.x, b.x), select(opposite, T(0) - a.y, b.y),
                     select(opposite, T(0) - a.z, b.z)};
  r.slope = drop(opposite, r.twice);
  return r;
}

template <class T>
POSEDA_INLINE Matrix3<T> rotation_matrix(const Alignment<T>& r) {
  const Vec3<T> a = r.first.vector, h = r.midway.vector;
  const Vec3<T> p = r.twice * h, q = r.twice * r.second.vector;
  return {{T(1) - p.x * h.x + q.x * a.x, q.x * a.y - p.x * h.y, q.x * a.z - p.x * h.z},
          {q.y * a.x - p.y * h.x, T(1) - p.y * h.y + q.y * a.y, q.y * a.z - p.y * h.z},
          {q.z * a.x - p.z * h.x, q.z * a.y - p.z * h.y, T(1) - p.z * h.z + q.z * a.z}};
}

// Gradient by a vector from that by its unit vector.
template <class T>
POSEDA_INLINE Vec3<T> unit_vjp(const Unit<T>& u, Vec3<T> grad) {
  return u.inverse_length * (grad - dot(u.vector, grad) * u.vector);
}

// Gradients of L by both vectors, from m = dL/dR.
template <class T>
POSEDA_INLINE void align_vjp(const Alignment<T>& r, const Matrix3<T>& m, Vec3<T>& by_first,
                             Vec3<T>& by_second) {
  const Vec3<T> h = r.midway.vector;
  const Vec3<T> by_sum = unit_vjp(r.midway, multiply(m, h) + multiply_transposed(m, h));
  by_first = unit_vjp(r.first, r.slope * (multiply_transposed(m, r.second.vector) - by_sum));
  by_second = unit_vjp(r.second, r.slope * (multiply(m, r.first.vector) - by_sum));
}

}  // namespace poseda
