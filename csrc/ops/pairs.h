// The pairs of bones that `kcs` and `part_kcs` multiply.
#pragma once

#include <cstdint>

#include "math/kcs.h"
#include "math/tree.h"

namespace poseda {

// Pairs in the order of the output. A bone is named by the joint that it ends in. Parts share
// bones, and a symmetric matrix has each product twice: no product is computed again.
struct Pairs {
  static constexpr int kMax = 4096;  // 63 bones by 63 bones fit
  int32_t count;
  // Both bones, kMaxJoints * first + second; or kMax + the earlier pair that this one repeats.
  uint16_t codes[kMax];

  POSEDA_INLINE constexpr bool repeats(int i) const { return codes[i] >= kMax; }
  POSEDA_INLINE constexpr int earlier(int i) const { return codes[i] - kMax; }
  POSEDA_INLINE constexpr int first(int i) const { return codes[i] / kMaxJoints; }
  POSEDA_INLINE constexpr int second(int i) const { return codes[i] % kMaxJoints; }

  // The products of `bones`, each in its place.
  template <int D, class T>
  POSEDA_INLINE void multiply(const T* bones, T* products) const {
    for (int i = 0; i < count;) i = row<D>(i, bones, products);
  }

  // Adds to `grad`, by bone, what the gradients by the products give. These are changed.
  template <int D, class T>
  POSEDA_INLINE void multiply_vjp(const T* bones, T* by_product, T* grad) const {
    for (int i = 0; i < count; ++i)
      if (repeats(i)) by_product[earlier(i)] = by_product[earlier(i)] + by_product[i];
    for (int i = 0; i < count;) i = row_vjp<D>(i, bones, by_product, grad);
  }

 private:
  // Pair i if it repeats one; else the pairs from i on that share their first bone, which stays in
  // registers. Returns the pair after them.
  template <int D, class T>
  POSEDA_INLINE int row(int i, const T* bones, T* products) const {
    if (repeats(i)) {
      products[i] = products[earlier(i)];
      return i + 1;
    }
    const int a = first(i);
    T bone[D];
    for (int d = 0; d < D; ++d) bone[d] = bones[D * a + d];
    for (; i < count && !repeats(i) && first(i) == a; ++i)
      products[i] = dot<D>(bone, bones + D * second(i));
    return i;
  }

  // As `row`; the first bone's gradient stays in registers too.
  template <int D, class T>
  POSEDA_INLINE int row_vjp(int i, const T* bones, const T* by_product, T* grad) const {
    if (repeats(i)) return i + 1;
    const int a = first(i);
    T bone[D], by_bone[D];
    for (int d = 0; d < D; ++d) bone[d] = bones[D * a + d];
    for (int d = 0; d < D; ++d) by_bone[d] = T(0);
    for (; i < count && !repeats(i) && first(i) == a; ++i) {
      T *to = grad + D * second(i), by_other[D];
      for (int d = 0; d < D; ++d) by_other[d] = to[d];
      dot_vjp<D>(by_product[i], bone, bones + D * second(i), by_bone, by_other);
      for (int d = 0; d < D; ++d) to[d] = by_other[d];
    }
    for (int d = 0; d < D; ++d) grad[D * a + d] = grad[D * a + d] + by_bone[d];
    return i;
  }
};
static_assert(kMaxJoints * kMaxJoints <= Pairs::kMax, "the codes of bones and of pairs differ");

// Makes a list of pairs, and finds those that are there already, either way round.
class PairList {
 public:
  constexpr void add(int64_t a, int64_t b) {
    uint16_t& earlier = earlier_[a < b ? a : b][a < b ? b : a];
    const bool repeats = earlier != 0;
    if (!repeats) earlier = static_cast<uint16_t>(Pairs::kMax + pairs_.count);
    pairs_.codes[pairs_.count++] = repeats ? earlier : static_cast<uint16_t>(kMaxJoints * a + b);
  }
  constexpr const Pairs& pairs() const { return pairs_; }

 private:
  Pairs pairs_{};
  uint16_t earlier_[kMaxJoints][kMaxJoints] = {};  // the code that repeats a pair
};

// All pairs of bones, row by row.
inline Pairs all_pairs(const Tree& tree) {
  PairList list;
  for (int a = 1; a < tree.joints; ++a)
    for (int b = 1; b < tree.joints; ++b) list.add(a, b);
  return list.pairs();
}

}  // namespace poseda
