// The joint tree, and bones in place: a pose tile becomes a bone tile and back.
#pragma once

#include <cstdint>

#include "math/scalar.h"

namespace poseda {

constexpr int kMaxJoints = 64;

// parents[j] < j; parents[0] is not used.
struct Tree {
  int32_t joints;
  int8_t parents[kMaxJoints];
};

}  // namespace poseda
