// Three-component vectors of any number type.
#pragma once

#include "math/scalar.h"

namespace poseda {

template <class T>
struct Vec3 {
  T x, y, z;
};

template <class T>
POSEDA_INLINE Vec3<T> operator+(Vec3<T> a, Vec3<T> b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}

template <class T>
POSEDA_INLINE Vec3<T> operator-(Vec3<T> a, Vec3<T> b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}

template <class T>
POSEDA_INLINE Vec3<T> operator*(T s, Vec3<T> a) {
  return {s * a.x, s * a.y, s * a.z};
}

template <class T>
POSEDA_INLINE T dot(Vec3<T> a, Vec3<T> b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}

template <class T>
POSEDA_INLINE Vec3<T> cross(Vec3<T> a, Vec3<T> b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

template <class T>
POSEDA_INLINE Vec3<T> load3(const T* p) {
  return {p[0], p[1], p[2]};
}

template <class T>
POSEDA_INLINE void store3(T* p, Vec3<T> a) {
  p[0] = a.x;
  p[1] = a.y;
  p[2] = a.z;
}

}  // namespace poseda
