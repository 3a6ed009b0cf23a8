// Transposition of a square of numbers, one SIMD vector per row.
#pragma once

#include <utility>

#include "cpu/lanes.h"

namespace poseda {
inline namespace POSEDA_ISA {

// result[i] = concatenation(a, b)[Index::at(i)]
template <class Index, class V, int... I>
POSEDA_INLINE V shuffle(V a, V b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, Index::at(I)...);
}

// Exchanges the off-diagonal quarters of every square of 2 * kStep: the step of a block-wise
// transposition. kSecond picks which of the two result rows.
template <int kStep, int kCount, bool kSecond>
struct Exchange {
  static constexpr int at(int i) {
    const bool odd = (i / kStep) % 2 != 0;
    if (kSecond) return odd ? i + kCount : i + kStep;
    return odd ? i - kStep + kCount : i;
  }
};

template <int kStep, class S>
POSEDA_INLINE void exchange(Lanes<S>* rows) {
  constexpr int kCount = Lanes<S>::kCount;
  using All = std::make_integer_sequence<int, kCount>;
#pragma GCC unroll 16
  for (int i = 0; i < kCount; ++i) {
    if ((i / kStep) % 2 != 0) continue;
    const auto a = rows[i].v, b = rows[i + kStep].v;
    rows[i] = shuffle<Exchange<kStep, kCount, false>>(a, b, All{});
    rows[i + kStep] = shuffle<Exchange<kStep, kCount, true>>(a, b, All{});
  }
}

template <class S, int kStep = Lanes<S>::kCount / 2>
POSEDA_INLINE void transpose(Lanes<S>* rows) {
  exchange<kStep>(rows);
  if constexpr (kStep > 1) transpose<S, kStep / 2>(rows);
}

}  // namespace POSEDA_ISA
}  // namespace poseda
