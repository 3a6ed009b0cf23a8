// Rotation by axis-angle vectors (Rodrigues) and its vector-Jacobian product.
//
//   R v = v + a w x v + b w x (w x v),   a = sin t / t,  b = (1 - cos t) / t^2,  t = |w|
//
// With h = t / 2, S = sin h / h and C = cos h:  a = S C  and  b = S^2 / 2. S, C and S' = dS/d(h^2)
// are entire functions of h^2, so up to t = pi they are one polynomial each, exact at zero and
// without a square root. Beyond, h is reduced by multiples of pi, which leaves S C, S^2 and S S'
// unchanged in sign. Error of a and b: 2e-7 in float32, 4e-16 in float64 (absolute, t < 1000); of
// the derivatives of R v by w, |v| = 1: as much, times t where t > 1.
#pragma once

#include "math/vector.h"

namespace poseda {

// c0 + c1 x + c2 x^2 + ...
template <class T, class Scalar>
POSEDA_INLINE T polynomial(T, Scalar c0) {
  return T(c0);
}

template <class T, class Scalar, class... Scalars>
POSEDA_INLINE T polynomial(T x, Scalar c0, Scalars... higher) {
  return polynomial(x, higher...) * x + T(c0);
}

// Chebyshev fits on x = h^2 in [0, (pi/2)^2].
template <class Scalar>
struct HalfAngleSeries;

template <>
struct HalfAngleSeries<float> {
  template <class T>
  POSEDA_INLINE static T sine(T x) {
    return polynomial(x, 1.0f, -0.166666666167908113f, 0.00833333097327187877f,
                      -0.000198408610580371274f, 2.7525263495417919e-6f, -2.38891040326755821e-8f);
  }
  template <class T>
  POSEDA_INLINE static T cosine(T x) {
    return polynomial(x, 1.0f, -0.499999993551181271f, 0.0416666361476393609f,
                      -0.00138883601277898254f, 0.0000247601015166303569f,
                      -2.60505106360206507e-7f);
  }
  template <class T>
  POSEDA_INLINE static T slope(T x) {
    return polynomial(x, -0.166666666500276332f, 0.0166666632942985289f, -0.000595227146307280078f,
                      0.0000110104642386910261f, -1.19446923437606284e-7f);
  }
  // pi in three parts; the products of the first two with a small integer are exact.
  static constexpr float kPi0 = 3.140625f, kPi1 = 0.000967502593994140625f,
                         kPi2 = 1.5099579909783764338e-7f;
  static constexpr float kRound = 12582912.0f;  // adding and subtracting it rounds to an integer
};

template <>
struct HalfAngleSeries<double> {
  template <class T>
  POSEDA_INLINE static T sine(T x) {
    return polynomial(x, 1.0, -0.166666666666666653, 0.00833333333333318628,
                      -0.000198412698412086386, 2.75573192112232595e-6, -2.50521068899751309e-8,
                      1.60589408478324921e-10, -7.64302573896434506e-13, 2.7215660921125598e-15);
  }
  template <class T>
  POSEDA_INLINE static T cosine(T x) {
    return polynomial(x, 1.0, -0.499999999999999999, 0.0416666666666666597, -0.00138888888888885295,
                      0.000024801587301492585, -2.75573192096473387e-7, 2.08767556660535297e-9,
                      -1.14706701428640747e-11, 4.77687173341536804e-14, -1.51197786600161e-16);
  }
  template <class T>
  POSEDA_INLINE static T slope(T x) {
    return polynomial(x, -0.166666666666666667, 0.0166666666666666663, -0.000595238095238091729,
                      0.0000110229276895797513, -1.25260541896754369e-7, 9.63542594527226389e-10,
                      -5.35299004202021471e-12, 2.24817881043723493e-14, -7.18425886070869983e-17);
  }
  static constexpr double kPi0 = 3.1415926516056060791, kPi1 = 1.9841871583270442869e-9,
                          kPi2 = 1.0340365963588211138e-18;
  static constexpr double kRound = 6755399441055744.0;
};

// sin h / h, cos h and d(sin h / h)/d(h^2), up to a sign that the three share.
template <class T>
struct HalfAngle {
  T sine, cosine, slope;
};

constexpr double kSquaredPi = 9.8696044010893586188;

// For angles up to pi.
template <bool kWithSlope, class T>
POSEDA_INLINE HalfAngle<T> half_angle(T squared_angle) {
  using Series = HalfAngleSeries<typename Element<T>::type>;
  const T squared_half = T(0.25) * squared_angle;
  const T slope = kWithSlope ? Series::slope(squared_half) : T(0);
  return {Series::sine(squared_half), Series::cosine(squared_half), slope};
}

// For any angle.
template <bool kWithSlope, class T>
POSEDA_INLINE HalfAngle<T> reduced_half_angle(T squared_angle) {
  using Series = HalfAngleSeries<typename Element<T>::type>;
  constexpr double kInversePi = 0.31830988618379067154;
  const T squared_half = T(0.25) * squared_angle;
  const auto wraps = squared_angle > T(kSquaredPi);
  const T half = square_root(squared_half);
  const T turns = (half * T(kInversePi) + T(Series::kRound)) - T(Series::kRound);
  T rest = half - turns * T(Series::kPi0);
  rest = rest - turns * T(Series::kPi1);
  rest = rest - turns * T(Series::kPi2);
  rest = maximum(T(-1.5708), minimum(T(1.5708), rest));  // angles too large to reduce stay finite
  const T y = select(wraps, rest * rest, squared_half);
  const T ratio = select(wraps, rest / half, T(1));
  HalfAngle<T> result{ratio * Series::sine(y), Series::cosine(y), T(0)};
  if (kWithSlope) {
    const T far = (result.cosine - result.sine) / (T(2) * squared_half);
    result.slope = select(wraps, far, Series::slope(y));
  }
  return result;
}

// The coefficients a and b of Rodrigues' formula, and their derivatives by t^2.
template <class T>
struct RotationCoefficients {
  T first, second, first_slope, second_slope;
};

template <class T>
POSEDA_INLINE RotationCoefficients<T> coefficients_of(const HalfAngle<T>& h) {
  const T half_square = T(0.5) * h.sine * h.sine;
  return {h.sine * h.cosine, half_square, T(0.25) * (h.slope * h.cosine - half_square),
          T(0.25) * h.sine * h.slope};
}

// Of kCount angles, with one branch for all.
template <bool kWithSlope, int kCount, class T>
POSEDA_INLINE void rotation_coefficients(const T* squared_angles, RotationCoefficients<T>* result) {
  bool wraps = false;
#pragma unroll
  for (int i = 0; i < kCount; ++i) wraps |= any(squared_angles[i] > T(kSquaredPi));
  if (!wraps) {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      result[i] = coefficients_of(half_angle<kWithSlope>(squared_angles[i]));
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      result[i] = coefficients_of(reduced_half_angle<kWithSlope>(squared_angles[i]));
  }
}

template <bool kWithSlope, class T>
POSEDA_INLINE RotationCoefficients<T> rotation_coefficients(T squared_angle) {
  RotationCoefficients<T> result;
  rotation_coefficients<kWithSlope, 1>(&squared_angle, &result);
  return result;
}

template <class T>
POSEDA_INLINE Vec3<T> rotate(Vec3<T> axis_angle, RotationCoefficients<T> c, Vec3<T> v) {
  const Vec3<T> once = cross(axis_angle, v);
  return v + c.first * once + c.second * cross(axis_angle, once);
}

// Gradient of L by the axis-angle vector w, from the outer product M = sum g v^T of the gradients g
// at the rotated vectors with the vectors v: its trace, its antisymmetric part as the vector
// sum v x g, and (M + M^T) w.
template <class T>
POSEDA_INLINE Vec3<T> axis_angle_vjp(Vec3<T> w, RotationCoefficients<T> c, T trace, Vec3<T> turn,
                                     Vec3<T> symmetric_w) {
  const T by_first = dot(w, turn);
  const T by_second = T(0.5) * dot(w, symmetric_w) - trace * dot(w, w);
  const T along = T(2) * (c.first_slope * by_first + c.second_slope * by_second - c.second * trace);
  return c.first * turn + c.second * symmetric_w + along * w;
}

// Gradients of L by v and w, from the gradient g at R v.
template <class T>
POSEDA_INLINE void rotate_vjp(Vec3<T> w, RotationCoefficients<T> c, Vec3<T> v, Vec3<T> g,
                              Vec3<T>& grad_v, Vec3<T>& grad_w) {
  const Vec3<T> symmetric_w = dot(v, w) * g + dot(g, w) * v;
  grad_w = axis_angle_vjp(w, c, dot(g, v), cross(v, g), symmetric_w);
  grad_v = rotate(T(-1) * w, c, g);
}

// A rotation applied to many vectors: nine products each.
template <class T>
struct Matrix3 {
  Vec3<T> x, y, z;  // rows
};

template <class T>
POSEDA_INLINE Matrix3<T> rotation_matrix(Vec3<T> w, RotationCoefficients<T> c) {
  const Vec3<T> a = c.first * w, b = c.second * w;
  const T xy = b.x * w.y, xz = b.x * w.z, yz = b.y * w.z;
  const T xx = b.x * w.x, yy = b.y * w.y, zz = b.z * w.z;
  return {{T(1) - yy - zz, xy - a.z, xz + a.y},
          {xy + a.z, T(1) - xx - zz, yz - a.x},
          {xz - a.y, yz + a.x, T(1) - xx - yy}};
}

template <class T>
POSEDA_INLINE Vec3<T> multiply(const Matrix3<T>& m, Vec3<T> v) {
  return {dot(m.x, v), dot(m.y, v), dot(m.z, v)};
}

template <class T>
POSEDA_INLINE Vec3<T> multiply_transposed(const Matrix3<T>& m, Vec3<T> v) {
  return v.x * m.x + v.y * m.y + v.z * m.z;
}

template <class T>
POSEDA_INLINE Matrix3<T> multiply(const Matrix3<T>& a, const Matrix3<T>& b) {
  return {multiply_transposed(b, a.x), multiply_transposed(b, a.y), multiply_transposed(b, a.z)};
}

// a^T b
template <class T>
POSEDA_INLINE Matrix3<T> multiply_transposed(const Matrix3<T>& a, const Matrix3<T>& b) {
  return {a.x.x * b.x + a.y.x * b.y + a.z.x * b.z, a.x.y * b.x + a.y.y * b.y + a.z.y * b.z,
          a.x.z * b.x + a.y.z * b.y + a.z.z * b.z};
}

// m += g v^T
template <class T>
POSEDA_INLINE void add_outer(Matrix3<T>& m, Vec3<T> g, Vec3<T> v) {
  m.x = m.x + g.x * v;
  m.y = m.y + g.y * v;
  m.z = m.z + g.z * v;
}

// Gradient by w, from M = sum g v^T.
template <class T>
POSEDA_INLINE Vec3<T> axis_angle_vjp(Vec3<T> w, RotationCoefficients<T> c, const Matrix3<T>& m) {
  const Vec3<T> turn = {m.z.y - m.y.z, m.x.z - m.z.x, m.y.x - m.x.y};
  return axis_angle_vjp(w, c, m.x.x + m.y.y + m.z.z, turn,
                        multiply(m, w) + multiply_transposed(m, w));
}

}  // namespace poseda
