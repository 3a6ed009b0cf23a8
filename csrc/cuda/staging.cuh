// Copies between the rows of a field in global memory and the tiles of a block in shared memory.
//
// Neighbouring threads copy neighbouring words of whole rows, so that every access to global memory
// is coalesced, and a thread stays in its column, so that its addresses advance in equal steps.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>

#include <cstdint>

#include "ops/fields.h"

namespace poseda {

// Three warps: a whole number of rows of 16 joints (48, 45, 32, 15 numbers) fits, or nearly.
constexpr int kThreads = 96;

__device__ inline float to_float(Half x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ inline float to_float(BFloat16 x) {
  return __bfloat162float(__ushort_as_bfloat16(x.bits));
}

__device__ inline void from_float(float x, Half& out) {
  out.bits = __half_as_ushort(__float2half_rn(x));
}
__device__ inline void from_float(float x, BFloat16& out) {
  out.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

// The rows and columns of a rows x width array that this thread copies: rows first, first + step
// and so on; column, and where a row has more columns than there are threads, every kThreads-th.
struct Share {
  int first, step, column;

  __device__ explicit Share(int width) {
    const int row = static_cast<int>(threadIdx.x) / width;
    step = width < kThreads ? kThreads / width : 1;
    column = row < step ? static_cast<int>(threadIdx.x) - row * width : width;  // none left
    first = row;
  }
};

// Numbers of 4 or 8 bytes go straight to shared memory, all at once: wait_for_loads() must follow.
template <class T>
__device__ void load_numbers(const T* data, int rows, int width, int stride, T* tiles) {
  const Share share(width);
  for (int column = share.column; column < width; column += kThreads)
#pragma unroll 8
    for (int row = share.first; row < rows; row += share.step)
      __pipeline_memcpy_async(tiles + row * stride + column, data + row * width + column,
                              sizeof(T));
}

template <class T>
__device__ void store_numbers(T* data, int rows, int width, int stride, const T* tiles) {
  const Share share(width);
  for (int column = share.column; column < width; column += kThreads)
#pragma unroll 8
    for (int row = share.first; row < rows; row += share.step)
      data[row * width + column] = tiles[row * stride + column];
}

// Numbers of 2 bytes are converted on the way. They travel in pairs: two poses have `width` pairs.
template <class Storage>
struct alignas(4) Pair {
  Storage first, second;
};

// Where numbers 2 * column and 2 * column + 1 of two poses stand in their tiles.
struct PairPlace {
  int first, second;

  __device__ PairPlace(int column, int width, int stride)
      : first(2 * column < width ? 2 * column : 2 * column - width + stride),
        second(2 * column + 1 < width ? 2 * column + 1 : 2 * column + 1 - width + stride) {}
};

// Asks for the rows to be brought into the L2 cache. Loads through registers wait field by field:
// so they wait for the cache, and for device memory only once.
template <class Storage>
__device__ void prefetch_field(const Storage* data, int rows, int width) {
  constexpr int kLine = 128 / sizeof(Storage);
  for (int i = static_cast<int>(threadIdx.x) * kLine; i < rows * width; i += kThreads * kLine) {
#ifdef __CUDA_ARCH__
    asm volatile("prefetch.global.L2 [%0];" ::"l"(data + i));
#else
    static_cast<void>(data[i]);
#endif
  }
}

// How many pairs of poses travel in pairs of numbers: none where an address is odd.
__device__ inline int paired_rows(const void* data, int rows) {
  return reinterpret_cast<uintptr_t>(data) % sizeof(Pair<Half>) == 0 ? rows / 2 : 0;
}

template <class Storage>
__device__ void load_converted(const Storage* data, int rows, int width, int stride, float* tiles) {
  constexpr int kBatch = 8;  // loads of a thread under way at a time
  const Share share(width);
  const int paired = paired_rows(data, rows);
  const Pair<Storage>* pairs = reinterpret_cast<const Pair<Storage>*>(data);
  for (int column = share.column; column < width; column += kThreads) {
    const PairPlace place(column, width, stride);
    for (int begin = share.first; begin < paired; begin += kBatch * share.step) {
      Pair<Storage> batch[kBatch];
#pragma unroll
      for (int k = 0; k < kBatch; ++k) {
        const int row = begin + k * share.step;
        if (row < paired) batch[k] = pairs[row * width + column];
      }
#pragma unroll
      for (int k = 0; k < kBatch; ++k) {
        const int row = begin + k * share.step;
        if (row < paired) {
          tiles[2 * row * stride + place.first] = to_float(batch[k].first);
          tiles[2 * row * stride + place.second] = to_float(batch[k].second);
        }
      }
    }
    for (int row = 2 * paired + share.first; row < rows; row += share.step)
      tiles[row * stride + column] = to_float(data[row * width + column]);
  }
}

template <class Storage>
__device__ void store_converted(Storage* data, int rows, int width, int stride,
                                const float* tiles) {
  const Share share(width);
  const int paired = paired_rows(data, rows);
  Pair<Storage>* pairs = reinterpret_cast<Pair<Storage>*>(data);
  for (int column = share.column; column < width; column += kThreads) {
    const PairPlace place(column, width, stride);
#pragma unroll 8
    for (int row = share.first; row < paired; row += share.step) {
      Pair<Storage> pair;
      from_float(tiles[2 * row * stride + place.first], pair.first);
      from_float(tiles[2 * row * stride + place.second], pair.second);
      pairs[row * width + column] = pair;
    }
    for (int row = 2 * paired + share.first; row < rows; row += share.step)
      from_float(tiles[row * stride + column], data[row * width + column]);
  }
}

template <class Storage, class T>
__device__ void load_field(const Storage* data, int rows, int width, int stride, T* tiles) {
  if constexpr (sizeof(Storage) == 2) {
    load_converted(data, rows, width, stride, tiles);
  } else {
    load_numbers(data, rows, width, stride, tiles);
  }
}

template <class Storage, class T>
__device__ void store_field(Storage* data, int rows, int width, int stride, const T* tiles) {
  if constexpr (sizeof(Storage) == 2) {
    store_converted(data, rows, width, stride, tiles);
  } else {
    store_numbers(data, rows, width, stride, tiles);
  }
}

template <class T>
__device__ void clear_field(int rows, int width, int stride, T* tiles) {
  const Share share(width);
  for (int column = share.column; column < width; column += kThreads)
    for (int row = share.first; row < rows; row += share.step) tiles[row * stride + column] = T(0);
}

// Until what this thread loads is in shared memory; a barrier then makes it visible to the others.
__device__ inline void wait_for_loads() {
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

}  // namespace poseda
