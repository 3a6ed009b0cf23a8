// Pairs that are known when this is compiled: their loops unroll to straight code, which reads no
// index and keeps bones in registers.
#pragma once

#include <utility>

#include "ops/pairs.h"

namespace poseda {

// The pairs of the five parts of H36M_16 in poseda_ext/skeleton.py, PoseAug's. A part is a set of
// bones, each named by the joint that it ends in.
constexpr Pairs make_h36m_pairs() {
  constexpr int kSizes[] = {7, 5, 5, 4, 4};
  constexpr int kJoints[] = {
      1, 4,  7,  8,  9, 10, 13,  //
      1, 4,  5,  6,  7,          //
      1, 2,  3,  4,  7,          //
      8, 10, 11, 12,             //
      8, 13, 14, 15,             //
  };
  PairList list;
  int begin = 0;
  for (const int size : kSizes) {
    for (int a = begin; a < begin + size; ++a)
      for (int b = a; b < begin + size; ++b) list.add(kJoints[a], kJoints[b]);
    begin += size;
  }
  return list.pairs();
}

// Does what `Pairs` does, with these.
struct H36mPairs {
  static constexpr Pairs kPairs = make_h36m_pairs();

  // The rows of the tile do not overlap. The compiler has to know, to keep bones in registers.
  template <int D, class T>
  POSEDA_INLINE void multiply(const T* __restrict bones, T* __restrict products) const {
    each([&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      if constexpr (kPairs.repeats(i))
        products[i] = products[kPairs.earlier(i)];
      else
        products[i] = dot<D>(bones + D * kPairs.first(i), bones + D * kPairs.second(i));
    });
  }

  template <int D, class T>
  POSEDA_INLINE void multiply_vjp(const T* __restrict bones, T* __restrict by_product,
                                  T* __restrict grad) const {
    each([&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      if constexpr (kPairs.repeats(i))
        by_product[kPairs.earlier(i)] = by_product[kPairs.earlier(i)] + by_product[i];
    });
    each([&](auto index) __attribute__((always_inline)) {
      constexpr int i = decltype(index)::value;
      if constexpr (!kPairs.repeats(i)) {
        constexpr int a = D * kPairs.first(i), b = D * kPairs.second(i);
        dot_vjp<D>(by_product[i], bones + a, bones + b, grad + a, grad + b);
      }
    });
  }

 private:
  template <class Step>
  static POSEDA_INLINE void each(const Step& step) {
    each(step, std::make_integer_sequence<int, kPairs.count>{});
  }
  template <class Step, int... kIndices>
  static POSEDA_INLINE void each(const Step& step, std::integer_sequence<int, kIndices...>) {
    (step(Count<kIndices>{}), ...);
  }
};

}  // namespace poseda
