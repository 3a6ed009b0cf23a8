// The few scalar operations that the formulas need, for float and double on the CPU and in CUDA.
//
// Every formula is a template on a number type T. T is float or double (a CUDA thread), or
// cpu::Lanes (one pose per SIMD lane), which defines the same functions on vectors.
#pragma once

#include <math.h>

#ifdef __CUDACC__
#define POSEDA_INLINE __host__ __device__ __forceinline__
#else
// Always inlined: a function emitted in a file built for AVX-512 must never be linked into another.
#define POSEDA_INLINE inline __attribute__((always_inline))
#endif

namespace poseda {

POSEDA_INLINE float select(bool condition, float yes, float no) { return condition ? yes : no; }
POSEDA_INLINE double select(bool condition, double yes, double no) { return condition ? yes : no; }
POSEDA_INLINE bool any(bool condition) { return condition; }
POSEDA_INLINE float square_root(float x) { return sqrtf(x); }
POSEDA_INLINE double square_root(double x) { return sqrt(x); }

template <class T>
POSEDA_INLINE T minimum(T a, T b) {
  return select(a < b, a, b);
}

template <class T>
POSEDA_INLINE T maximum(T a, T b) {
  return select(a > b, a, b);
}

// `value` where the condition holds, zero elsewhere.
template <class Mask, class T>
POSEDA_INLINE T keep(Mask condition, T value) {
  return select(condition, value, T(0));
}

// Zero where the condition holds, `value` elsewhere: also where a NaN was compared.
template <class Mask, class T>
POSEDA_INLINE T drop(Mask condition, T value) {
  return select(condition, T(0), value);
}

// Zero, or NaN where x is NaN or infinite. Added wherever a bound would hide such an x.
template <class T>
POSEDA_INLINE T taint(T x) {
  return T(0) * x;
}

template <class T>
POSEDA_INLINE T at_least(T x, T bound) {
  return maximum(x, bound) + taint(x);
}

// The floating type behind T: itself, or that of one lane.
template <class T>
struct Element {
  using type = T;
};

}  // namespace poseda
