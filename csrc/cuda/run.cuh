// The CUDA driver: a block stages the rows of its poses through shared memory, so that global
// loads and stores are coalesced, and each thread runs the op on the tile of one pose.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "ops/fields.h"

namespace poseda {

__device__ inline float load_number(float x) { return x; }
__device__ inline double load_number(double x) { return x; }
__device__ inline float load_number(Half x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ inline float load_number(BFloat16 x) {
  return __bfloat162float(__ushort_as_bfloat16(x.bits));
}

__device__ inline void store_number(float& out, float x) { out = x; }
__device__ inline void store_number(double& out, double x) { out = x; }
__device__ inline void store_number(Half& out, float x) {
  out.bits = __half_as_ushort(__float2half_rn(x));
}
__device__ inline void store_number(BFloat16& out, float x) {
  out.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
}

// Calls visit(row, column, index) for every number of a rows x width array, each thread in turn.
// No division per number: rows and columns advance by the block size, split once.
template <class Visit>
__device__ inline void for_each_number(int rows, int width, Visit visit) {
  if (width == 0) return;
  const int row_step = blockDim.x / width, column_step = blockDim.x % width;
  int row = threadIdx.x / width, column = threadIdx.x % width;
#pragma unroll 4
  for (int index = threadIdx.x; index < rows * width; index += blockDim.x) {
    visit(row, column, index);
    row += row_step;
    column += column_step;
    if (column >= width) {
      column -= width;
      ++row;
    }
  }
}

// Tiles of neighbouring threads are `stride` numbers apart; odd, so that threads that read the
// same row hit different banks.
template <class Op, class Storage>
__global__ void tile_kernel(const __grid_constant__ Op op, const __grid_constant__ Fields fields,
                            const int stride) {
  using T = typename ComputeType<Storage>::type;
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  T* tiles = reinterpret_cast<T*>(shared_bytes);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x;
  const int64_t left = fields.batch - first;
  const int poses = left < blockDim.x ? static_cast<int>(left) : static_cast<int>(blockDim.x);

  for (int f = 0; f < fields.inputs; ++f) {
    const Field field = fields.in[f];
    const Storage* data = static_cast<const Storage*>(field.data) + first * field.width;
    for_each_number(poses, field.width, [&](int row, int column, int index) {
      tiles[row * stride + field.slot + column] =
          field.data == nullptr ? T(0) : load_number(data[index]);
    });
  }
  __syncthreads();
  if (threadIdx.x < poses) op(tiles + threadIdx.x * stride);
  __syncthreads();
  for (int f = 0; f < fields.outputs; ++f) {
    const Field field = fields.out[f];
    Storage* data = static_cast<Storage*>(field.data) + first * field.width;
    for_each_number(poses, field.width, [&](int row, int column, int index) {
      store_number(data[index], tiles[row * stride + field.slot + column]);
    });
  }
}

// Shared memory that every GPU gives without asking.
constexpr int kSharedBytes = 48 * 1024;
constexpr int kMaxThreads = 128;

template <class Op, class Storage>
cudaError_t start(const Op& op, const Fields& fields, cudaStream_t stream) {
  const int stride = fields.rows | 1;
  const int bytes_per_pose = stride * static_cast<int>(sizeof(typename ComputeType<Storage>::type));
  int threads = kMaxThreads;
  while (threads > 1 && threads * bytes_per_pose > kSharedBytes) threads /= 2;
  const int64_t blocks = (fields.batch + threads - 1) / threads;
  tile_kernel<Op, Storage>
      <<<static_cast<unsigned>(blocks), threads, threads * bytes_per_pose, stream>>>(op, fields,
                                                                                     stride);
  return cudaGetLastError();
}

template <class Op>
cudaError_t start_cuda(const Op& op, const Fields& fields, cudaStream_t stream) {
  switch (fields.dtype) {
    case Dtype::kFloat:
      return start<Op, float>(op, fields, stream);
    case Dtype::kDouble:
      return start<Op, double>(op, fields, stream);
    case Dtype::kHalf:
      return start<Op, Half>(op, fields, stream);
    default:
      return start<Op, BFloat16>(op, fields, stream);
  }
}

}  // namespace poseda
