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

// How many joints are worked on at a time: all are loaded before the first is stored. A CUDA thread
// waits long for each load, and since the compiler must assume that a store changes what a later
// load reads, it overlaps no more than this. A CPU finds out by itself.
#ifndef __CUDA_ARCH__
constexpr int kInFlight = 1;
#else
constexpr int kInFlight = 3;
#endif

// Calls step(count, i) for i = begin, begin + count, ... up to end, where `count` is a type with a
// constant `value`: kInFlight, then 1 for what is left.
template <int kValue>
struct Count {
  static constexpr int value = kValue;
};
template <class Step>
POSEDA_INLINE void in_groups(int begin, int end, const Step& step) {
  int i = begin;
  for (; i + kInFlight <= end; i += kInFlight) step(Count<kInFlight>{}, i);
  if constexpr (kInFlight > 1)
    for (; i < end; ++i) step(Count<1>{}, i);
}

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
