// Unaligned vector loads and stores of every storage type, as the type computed in.
#pragma once

#include "cpu/lanes.h"
#include "ops/fields.h"

namespace poseda {
inline namespace POSEDA_ISA {

template <class S>
using LanesOf = Lanes<typename ComputeType<S>::type>;

template <class S>
POSEDA_INLINE Lanes<S> load_row(const S* p) {
  Lanes<S> row;
  __builtin_memcpy(&row, p, sizeof(row));
  return row;
}

template <class S>
POSEDA_INLINE void store_row(S* p, Lanes<S> row) {
  __builtin_memcpy(p, &row, sizeof(row));
}

// 16-bit formats, as integer vectors as wide as a vector of float.
constexpr int kFloats = Lanes<float>::kCount;
typedef uint32_t Bits __attribute__((vector_size(4 * kFloats)));
typedef uint16_t ShortBits __attribute__((vector_size(2 * kFloats)));

POSEDA_INLINE Bits load_bits(const void* p) {
  ShortBits bits;
  __builtin_memcpy(&bits, p, sizeof(bits));
  return __builtin_convertvector(bits, Bits);
}

POSEDA_INLINE void store_bits(void* p, Bits wide) {
  const ShortBits bits = __builtin_convertvector(wide, ShortBits);
  __builtin_memcpy(p, &bits, sizeof(bits));
}

POSEDA_INLINE Bits bits_of(Lanes<float> x) { return reinterpret_cast<Bits>(x.v); }
POSEDA_INLINE Lanes<float> floats_of(Bits b) { return reinterpret_cast<Lanes<float>::Vector>(b); }

POSEDA_INLINE Lanes<float> load_row(const BFloat16* p) { return floats_of(load_bits(p) << 16); }

// Rounds to nearest, ties to even; NaN stays NaN.
POSEDA_INLINE void store_row(BFloat16* p, Lanes<float> row) {
  const Bits bits = bits_of(row);
  const Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  store_bits(p, row.v == row.v ? rounded : Bits{} + 0x7fc0);
}

// The exponent is moved from bias 15 to 127 by a product, which also makes subnormals right.
POSEDA_INLINE Lanes<float> load_row(const Half* p) {
  const Bits half = load_bits(p);
  const Bits magnitude = (half & 0x7fff) << 13;
  const Lanes<float> scaled = floats_of(magnitude) * Lanes<float>(0x1p112f);
  const Bits special = bits_of(scaled) | 0x7f800000;  // infinity and NaN
  const Bits value = (half & 0x7c00) == 0x7c00 ? special : bits_of(scaled);
  return floats_of(value | ((half & 0x8000) << 16));
}

// Rounds to nearest, ties to even, through integer addition (normal) or float addition
// (subnormal); values from 65520 on become infinity.
POSEDA_INLINE void store_row(Half* p, Lanes<float> row) {
  const Bits bits = bits_of(row);
  const Bits sign = (bits >> 16) & 0x8000;
  const Bits magnitude = bits & 0x7fffffff;
  const Bits normal = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  const Bits subnormal = bits_of(floats_of(magnitude) + Lanes<float>(0.5)) - 0x3f000000;
  Bits result = magnitude < 0x38800000 ? subnormal : normal;
  result = magnitude >= 0x477ff000 ? Bits{} + 0x7c00 : result;
  result = magnitude > 0x7f800000 ? Bits{} + 0x7e00 : result;
  store_bits(p, result | sign);
}

}  // namespace POSEDA_ISA
}  // namespace poseda
