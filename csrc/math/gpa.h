// Global position alignment (PoseDA, Eq. 7 and 9) and its vector-Jacobian product.
//
//   depth = (fx extent_x + fy extent_y) / (box_x + box_y),   across = depth (target_0 - c) / f
//
// with the extent of the root-relative pose and the box of the 2D target.
#pragma once

#include "math/constants.h"
#include "math/project.h"

namespace poseda {

// The box around a set of 2D points. `tainted` is zero, or NaN where a point is NaN or infinite,
// which the comparisons would pass over.
template <class T>
struct Box {
  Vec2<T> low, high, tainted;
};

template <class T>
POSEDA_INLINE Box<T> box_at(Vec2<T> point) {
  return {point, point, {taint(point.x), taint(point.y)}};
}

template <class T>
POSEDA_INLINE void extend(Box<T>& box, T x, T y) {
  box.low = {minimum(x, box.low.x), minimum(y, box.low.y)};
  box.high = {maximum(x, box.high.x), maximum(y, box.high.y)};
  box.tainted = {box.tainted.x + taint(x), box.tainted.y + taint(y)};
}

template <class T>
POSEDA_INLINE Vec2<T> extent(const Box<T>& box) {
  return {box.high.x - box.low.x + box.tainted.x, box.high.y - box.low.y + box.tainted.y};
}

// The box of `points` points, `stride` numbers apart.
template <class T>
POSEDA_INLINE Box<T> box_of(const T* p, int points, int stride) {
  Box<T> box = box_at(load2(p));
  for (int i = 1; i < points; ++i) extend(box, p[i * stride], p[i * stride + 1]);
  return box;
}

// Adds the gradient of one axis of the extent to the points that made it: of points that tie, to
// the first. A NaN goes to every point.
template <class T>
POSEDA_INLINE void axis_extent_vjp(T low, T high, T grad, const T* p, T* grad_p, int points,
                                   int stride) {
  const T none = taint(grad);
  T at_high = grad, at_low = T(0) - grad;  // none once handed out
  in_groups(0, points, [&](auto count, int first) {
    constexpr int kPoints = decltype(count)::value;
    T x[kPoints], by_x[kPoints];
#pragma unroll
    for (int i = 0; i < kPoints; ++i) {
      x[i] = p[(first + i) * stride];
      by_x[i] = grad_p[(first + i) * stride];
    }
#pragma unroll
    for (int i = 0; i < kPoints; ++i) {
      const auto is_high = x[i] == high, is_low = x[i] == low;
      grad_p[(first + i) * stride] =
          by_x[i] + select(is_high, at_high, none) + select(is_low, at_low, none);
      at_high = select(is_high, none, at_high);
      at_low = select(is_low, none, at_low);
    }
  });
}

template <class T>
POSEDA_INLINE void extent_vjp(const Box<T>& box, Vec2<T> grad, const T* p, T* grad_p, int points,
                              int stride) {
  axis_extent_vjp(box.low.x, box.high.x, grad.x, p, grad_p, points, stride);
  axis_extent_vjp(box.low.y, box.high.y, grad.y, p + 1, grad_p + 1, points, stride);
}

template <class T>
POSEDA_INLINE Vec3<T> gpa(Vec2<T> pose_extent, Vec2<T> target_extent, Vec2<T> target_root,
                          Intrinsics<T> k) {
  const T fx = at_least(k.fx, T(kMinFocalLength)), fy = at_least(k.fy, T(kMinFocalLength));
  const T size = at_least(target_extent.x + target_extent.y, T(kMinBoxSize));
  const T depth = at_least((fx * pose_extent.x + fy * pose_extent.y) / size, T(kMinDepth));
  return {depth * (target_root.x - k.cx) / fx, depth * (target_root.y - k.cy) / fy, depth};
}

template <class T>
struct GpaGrads {
  Vec2<T> pose_extent, target_extent, target_root;
};

// Adds the gradient of the intrinsics to grad_k.
template <class T>
POSEDA_INLINE GpaGrads<T> gpa_vjp(Vec2<T> pose_extent, Vec2<T> target_extent, Vec2<T> target_root,
                                  Intrinsics<T> k, Vec3<T> grad, Intrinsics<T>& grad_k) {
  const T fx = at_least(k.fx, T(kMinFocalLength)), fy = at_least(k.fy, T(kMinFocalLength));
  const T box = target_extent.x + target_extent.y;
  const T inverse_size = T(1) / at_least(box, T(kMinBoxSize));
  const T free_depth = (fx * pose_extent.x + fy * pose_extent.y) * inverse_size;
  const T depth = at_least(free_depth, T(kMinDepth));
  const T ray_x = (target_root.x - k.cx) / fx, ray_y = (target_root.y - k.cy) / fy;

  const Vec2<T> by_root = {grad.x * depth / fx, grad.y * depth / fy};
  const T by_depth = drop(free_depth < T(kMinDepth), grad.z + grad.x * ray_x + grad.y * ray_y);
  const T by_size = by_depth * inverse_size;
  const T by_box = drop(box < T(kMinBoxSize), T(0) - by_size * free_depth);
  grad_k.fx =
      grad_k.fx + drop(k.fx < T(kMinFocalLength), by_size * pose_extent.x - by_root.x * ray_x);
  grad_k.fy =
      grad_k.fy + drop(k.fy < T(kMinFocalLength), by_size * pose_extent.y - by_root.y * ray_y);
  grad_k.cx = grad_k.cx - by_root.x;
  grad_k.cy = grad_k.cy - by_root.y;
  return {{by_size * fx, by_size * fy}, {by_box, by_box}, by_root};
}

}  // namespace poseda
