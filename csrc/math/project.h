// Perspective projection (Eq. 4) with the Human3.6M lens model, and its vector-Jacobian product.
#pragma once

#include "math/constants.h"
#include "math/vector.h"

namespace poseda {

template <class T>
struct Vec2 {
  T x, y;
};

template <class T>
struct Intrinsics {
  T fx, fy, cx, cy;
};

template <class T>
struct Lens {
  T k1, k2, k3, p1, p2;
};

template <class T>
POSEDA_INLINE Vec2<T> load2(const T* p) {
  return {p[0], p[1]};
}

template <class T>
POSEDA_INLINE void store2(T* p, Vec2<T> a) {
  p[0] = a.x;
  p[1] = a.y;
}

template <class T>
POSEDA_INLINE Intrinsics<T> load_intrinsics(const T* p) {
  return {p[0], p[1], p[2], p[3]};
}

template <class T>
POSEDA_INLINE void store_intrinsics(T* p, Intrinsics<T> k) {
  p[0] = k.fx;
  p[1] = k.fy;
  p[2] = k.cx;
  p[3] = k.cy;
}

// (X, Y) / Z with the depth held at kMinDepth.
template <class T>
POSEDA_INLINE Vec2<T> to_plane(Vec3<T> point) {
  const T inverse_depth = T(1) / at_least(point.z, T(kMinDepth));
  return {point.x * inverse_depth, point.y * inverse_depth};
}

template <class T>
POSEDA_INLINE Vec3<T> to_plane_vjp(Vec3<T> point, Vec2<T> grad) {
  const T inverse_depth = T(1) / at_least(point.z, T(kMinDepth));
  const T gx = grad.x * inverse_depth, gy = grad.y * inverse_depth;
  const T by_depth = T(0) - (gx * point.x + gy * point.y) * inverse_depth;
  return {gx, gy, drop(point.z < T(kMinDepth), by_depth)};
}

template <class T>
POSEDA_INLINE Vec2<T> to_pixel(Vec2<T> plane, Intrinsics<T> k) {
  return {plane.x * k.fx + k.cx, plane.y * k.fy + k.cy};
}

// Returns the gradient on the plane; adds the one of the intrinsics to grad_k.
template <class T>
POSEDA_INLINE Vec2<T> to_pixel_vjp(Vec2<T> plane, Intrinsics<T> k, Vec2<T> grad,
                                   Intrinsics<T>& grad_k) {
  grad_k.fx = grad_k.fx + grad.x * plane.x;
  grad_k.fy = grad_k.fy + grad.y * plane.y;
  grad_k.cx = grad_k.cx + grad.x;
  grad_k.cy = grad_k.cy + grad.y;
  return {grad.x * k.fx, grad.y * k.fy};
}

template <class T>
POSEDA_INLINE T clamp_to_one(T u) {
  return maximum(T(-1), minimum(T(1), u)) + taint(u);
}

// u (1 + k1 r^2 + k2 r^4 + k3 r^6 + p.u) + p r^2 with u clamped to [-1, 1] and r = |u|.
template <class T>
POSEDA_INLINE Vec2<T> distort(Vec2<T> plane, Lens<T> lens) {
  const T x = clamp_to_one(plane.x), y = clamp_to_one(plane.y);
  const T r2 = x * x + y * y;
  const T gain = T(1) + r2 * (lens.k1 + r2 * (lens.k2 + r2 * lens.k3)) + lens.p1 * x + lens.p2 * y;
  return {x * gain + lens.p1 * r2, y * gain + lens.p2 * r2};
}

// Returns the gradient by the plane point; adds the one of the lens to grad_lens.
template <class T>
POSEDA_INLINE Vec2<T> distort_vjp(Vec2<T> plane, Lens<T> lens, Vec2<T> grad, Lens<T>& grad_lens) {
  const T x = clamp_to_one(plane.x), y = clamp_to_one(plane.y);
  const T r2 = x * x + y * y;
  const T gain = T(1) + r2 * (lens.k1 + r2 * (lens.k2 + r2 * lens.k3)) + lens.p1 * x + lens.p2 * y;
  const T by_gain = grad.x * x + grad.y * y;
  const T gain_slope = lens.k1 + r2 * (T(2) * lens.k2 + T(3) * r2 * lens.k3);
  const T by_r2 = by_gain * gain_slope + grad.x * lens.p1 + grad.y * lens.p2;
  grad_lens.k1 = grad_lens.k1 + by_gain * r2;
  grad_lens.k2 = grad_lens.k2 + by_gain * r2 * r2;
  grad_lens.k3 = grad_lens.k3 + by_gain * r2 * r2 * r2;
  grad_lens.p1 = grad_lens.p1 + by_gain * x + grad.x * r2;
  grad_lens.p2 = grad_lens.p2 + by_gain * y + grad.y * r2;
  const T gx = grad.x * gain + by_gain * lens.p1 + T(2) * by_r2 * x;
  const T gy = grad.y * gain + by_gain * lens.p2 + T(2) * by_r2 * y;
  return {keep(plane.x == x, gx) + taint(plane.x), keep(plane.y == y, gy) + taint(plane.y)};
}

}  // namespace poseda
