// The pairs of bones that `kcs` and `part_kcs` multiply.
#pragma once

#include <algorithm>
#include <cstdint>

#include "math/tree.h"

namespace poseda {

// Pairs in the order of the output. A bone is named by the joint that it ends in. Parts share
// bones, and a symmetric matrix has each product twice: no product is computed again.
struct Pairs {
  static constexpr int kMax = 4096;  // 63 bones by 63 bones fit
  int32_t count;
  // Both bones, kMaxJoints * first + second; or kMax + the earlier pair that this one repeats.
  uint16_t codes[kMax];

  POSEDA_INLINE bool repeats(int i) const { return codes[i] >= kMax; }
  POSEDA_INLINE int earlier(int i) const { return codes[i] - kMax; }
  POSEDA_INLINE int first(int i) const { return codes[i] / kMaxJoints; }
  POSEDA_INLINE int second(int i) const { return codes[i] % kMaxJoints; }
};
static_assert(kMaxJoints * kMaxJoints <= Pairs::kMax, "the codes of bones and of pairs differ");

// Makes a list of pairs, and finds those that are there already, either way round.
class PairList {
 public:
  void add(int64_t a, int64_t b) {
    uint16_t& earlier = earlier_[std::min(a, b)][std::max(a, b)];
    const bool repeats = earlier != 0;
    if (!repeats) earlier = static_cast<uint16_t>(Pairs::kMax + pairs_.count);
    pairs_.codes[pairs_.count++] = repeats ? earlier : static_cast<uint16_t>(kMaxJoints * a + b);
  }
  const Pairs& pairs() const { return pairs_; }

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
