// The CPU driver: stages blocks of poses into a tile, one pose per SIMD lane, runs an op, writes
// the outputs back.
#pragma once

#include "cpu/storage.h"
#include "cpu/transpose.h"
#include "ops/fields.h"

namespace poseda {
inline namespace POSEDA_ISA {

// Poses [first, first + count) of a batch; count is below the lane count in the last block only.
struct Block {
  int64_t first;
  int count;
};

// Up to a vector of numbers from p, of which `available` may be read; the rest are zero.
template <class S>
POSEDA_INLINE LanesOf<S> load_some(const S* p, int64_t available) {
  constexpr int kCount = LanesOf<S>::kCount;
  if (available >= kCount) return load_row(p);
  S row[kCount] = {};
  if (available > 0) __builtin_memcpy(row, p, available * sizeof(S));
  return load_row(row);
}

// Where in the cache hierarchy a line is wanted: for reading in the second level, for writing in
// the first.
constexpr int kNearby = 2, kNearest = 3;

// Row k of the result holds number k of every pose of the block. Whole vectors are written: up to
// a vector of rows after the field is overwritten, and is loaded or computed later.
//
// Each load asks for the same numbers of the next block, which arrive while this one is computed:
// hardware prefetchers do not follow so many strided streams. Such a request never faults.
template <class S>
POSEDA_INLINE void load_field(const Field& field, const Block& block, int64_t batch,
                              LanesOf<S>* tile) {
  constexpr int kCount = LanesOf<S>::kCount;
  const int64_t width = field.width;
  if (field.data == nullptr) {
    for (int64_t k = 0; k < width; ++k) tile[field.slot + k] = LanesOf<S>(0.0);
    return;
  }
  const S* data = static_cast<const S*>(field.data) + block.first * width;
  const int64_t available = (batch - block.first) * width;
  const bool inside = available >= kCount * width + kCount;
  for (int64_t k = 0; k < width; k += kCount) {
    const int64_t column = (k + kCount > width && width >= kCount) ? width - kCount : k;
    LanesOf<S> rows[kCount];
    if (inside) {
#pragma GCC unroll 16
      for (int i = 0; i < kCount; ++i) {
        rows[i] = load_row(data + i * width + column);
        __builtin_prefetch(data + (i + kCount) * width + column, 0, kNearby);
      }
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kCount; ++i) {
        const int64_t start = i * width + column;
        rows[i] = load_some(data + start, available - start);
      }
    }
    transpose(rows);
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) tile[field.slot + column + i] = rows[i];
  }
}

// Asks for the lines that `store_field` will write.
template <class S>
POSEDA_INLINE void prefetch_for_store(const Field& field, const Block& block) {
  constexpr int64_t kLine = 64;
  const S* data = static_cast<const S*>(field.data) + block.first * field.width;
  const int64_t bytes = block.count * field.width * static_cast<int64_t>(sizeof(S));
  for (int64_t k = 0; k < bytes; k += kLine)
    __builtin_prefetch(reinterpret_cast<const char*>(data) + k, 1, kNearest);
}

// Writes at most `room` numbers.
template <class S>
POSEDA_INLINE void store_some(S* p, LanesOf<S> row, int64_t room) {
  constexpr int kCount = LanesOf<S>::kCount;
  if (room >= kCount) {
    store_row(p, row);
  } else if (room > 0) {
    S numbers[kCount];
    store_row(numbers, row);
    __builtin_memcpy(p, numbers, room * sizeof(S));
  }
}

// A row narrower than a vector spills into the next pose of the block, which is written after it.
template <class S>
POSEDA_INLINE void store_field(const Field& field, const Block& block, const LanesOf<S>* tile) {
  constexpr int kCount = LanesOf<S>::kCount;
  const int64_t width = field.width;
  S* data = static_cast<S*>(field.data) + block.first * width;
  const int64_t room = block.count * width;
  const bool inside = block.count == kCount && width >= kCount;
  for (int64_t k = 0; k < width; k += kCount) {
    const int64_t column = (k + kCount > width && width >= kCount) ? width - kCount : k;
    LanesOf<S> rows[kCount];
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) rows[i] = tile[field.slot + column + i];
    transpose(rows);
    if (inside) {
#pragma GCC unroll 16
      for (int i = 0; i < kCount; ++i) store_row(data + i * width + column, rows[i]);
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kCount; ++i) {
        const int64_t start = i * width + column;
        store_some(data + start, rows[i], room - start);
      }
    }
  }
}

template <class Op, class S>
void run_blocks(const Op& op, const Fields& fields, int64_t begin, int64_t end) {
  constexpr int kCount = LanesOf<S>::kCount;
  LanesOf<S> tile[Op::kMaxRows + kCount];
  for (int64_t b = begin; b < end; ++b) {
    const int64_t left = fields.batch - b * kCount;
    const Block block{b * kCount, left < kCount ? static_cast<int>(left) : kCount};
    for (int i = 0; i < fields.inputs; ++i) load_field<S>(fields.in[i], block, fields.batch, tile);
    for (int i = 0; i < fields.outputs; ++i) prefetch_for_store<S>(fields.out[i], block);
    op(tile);
    for (int i = 0; i < fields.outputs; ++i) store_field<S>(fields.out[i], block, tile);
  }
}

// Runs blocks [begin, end) of `lanes(dtype)` poses each.
template <class Op>
void run(const Op& op, const Fields& fields, int64_t begin, int64_t end) {
  switch (fields.dtype) {
    case Dtype::kFloat:
      return run_blocks<Op, float>(op, fields, begin, end);
    case Dtype::kDouble:
      return run_blocks<Op, double>(op, fields, begin, end);
    case Dtype::kHalf:
      return run_blocks<Op, Half>(op, fields, begin, end);
    case Dtype::kBFloat16:
      return run_blocks<Op, BFloat16>(op, fields, begin, end);
  }
}

}  // namespace POSEDA_ISA
}  // namespace poseda
