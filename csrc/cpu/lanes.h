// One number per SIMD lane. Built once per instruction set, each in its own namespace.
#pragma once

#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "math/scalar.h"

#if defined(__AVX512F__)
#define POSEDA_ISA avx512
#define POSEDA_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define POSEDA_ISA avx2
#define POSEDA_VECTOR_BYTES 32
#else
#define POSEDA_ISA baseline
#define POSEDA_VECTOR_BYTES 16
#endif

namespace poseda {
inline namespace POSEDA_ISA {

template <class Scalar>
struct Lanes {
  static constexpr int kCount = POSEDA_VECTOR_BYTES / sizeof(Scalar);
  typedef Scalar Vector __attribute__((vector_size(POSEDA_VECTOR_BYTES)));
  Vector v;

  Lanes() = default;
  POSEDA_INLINE Lanes(Vector vector) : v(vector) {}
  POSEDA_INLINE explicit Lanes(double s) : v(static_cast<Scalar>(s) - Vector{}) {}
};

template <class S>
POSEDA_INLINE Lanes<S> operator+(Lanes<S> a, Lanes<S> b) {
  return a.v + b.v;
}
template <class S>
POSEDA_INLINE Lanes<S> operator-(Lanes<S> a, Lanes<S> b) {
  return a.v - b.v;
}
template <class S>
POSEDA_INLINE Lanes<S> operator*(Lanes<S> a, Lanes<S> b) {
  return a.v * b.v;
}
template <class S>
POSEDA_INLINE Lanes<S> operator/(Lanes<S> a, Lanes<S> b) {
  return a.v / b.v;
}

// The result of a comparison: a vector of integers, all bits set where it holds.
template <class Vector>
struct Mask {
  Vector v;
};
template <class Vector>
POSEDA_INLINE Mask<Vector> mask_of(Vector v) {
  return {v};
}

template <class S>
POSEDA_INLINE auto operator<(Lanes<S> a, Lanes<S> b) {
  return mask_of(a.v < b.v);
}
template <class S>
POSEDA_INLINE auto operator>(Lanes<S> a, Lanes<S> b) {
  return mask_of(a.v > b.v);
}
template <class S>
POSEDA_INLINE auto operator>=(Lanes<S> a, Lanes<S> b) {
  return mask_of(a.v >= b.v);
}
template <class S>
POSEDA_INLINE auto operator==(Lanes<S> a, Lanes<S> b) {
  return mask_of(a.v == b.v);
}

template <class V, class S>
POSEDA_INLINE Lanes<S> select(Mask<V> mask, Lanes<S> yes, Lanes<S> no) {
  return mask.v ? yes.v : no.v;
}

template <class V>
POSEDA_INLINE bool any(Mask<V> mask) {
#if defined(__AVX512F__)
  return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask.v)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8(reinterpret_cast<__m256i>(mask.v)) != 0;
#else
  bool result = false;
  for (int i = 0; i < static_cast<int>(sizeof(V) / sizeof(mask.v[0])); ++i)
    result = result || mask.v[i] != 0;
  return result;
#endif
}

// Written as a loop: compilers turn it into the vector instruction (-fno-math-errno).
template <class S>
POSEDA_INLINE Lanes<S> square_root(Lanes<S> a) {
  Lanes<S> result;
#pragma GCC unroll 16
  for (int i = 0; i < Lanes<S>::kCount; ++i) result.v[i] = poseda::square_root(a.v[i]);
  return result;
}

}  // namespace POSEDA_ISA

template <class S>
struct Element<Lanes<S>> {
  using type = S;
};

}  // namespace poseda
