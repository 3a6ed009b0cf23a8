// How a kernel sees its tensors: rows of numbers per pose, staged into a tile.
//
// A tile holds everything that one pose (one CUDA thread) or one vector of poses (one per SIMD
// lane) needs: `rows` numbers. Each tensor is a field: `width` consecutive numbers per pose, which
// stand in the tile from row `slot` on. An op is a functor over a tile; the CPU and CUDA drivers
// stage the inputs in, call it, and write the outputs back.
#pragma once

#include <cstdint>

namespace poseda {

constexpr int kAbsent = -1;  // the slot of a tensor that was not given
constexpr int kMaxFields = 10;

enum class Dtype { kFloat, kDouble, kHalf, kBFloat16 };

struct Field {
  void* data;  // null for an input that is zero throughout
  int32_t width;
  int32_t slot;
};

struct Fields {
  Field in[kMaxFields];
  Field out[kMaxFields];
  int32_t inputs = 0;
  int32_t outputs = 0;
  int32_t rows = 0;
  int64_t batch = 0;
  Dtype dtype = Dtype::kFloat;
};

// Storage types of 16 bits, computed in float.
struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

template <class Storage>
struct ComputeType {
  using type = float;
};
template <>
struct ComputeType<double> {
  using type = double;
};

}  // namespace poseda
