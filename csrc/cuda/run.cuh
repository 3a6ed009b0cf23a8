// The CUDA driver: chooses the size of the blocks and launches the kernel.
//
// Shared memory decides how many poses a multiprocessor works on at a time: the tile of `augment`
// takes 604 bytes per pose forward and 1,116 backward, which is 11 and 6 blocks of 32 poses in the
// 227 KB of a Hopper. Small blocks keep loads, arithmetic and stores of different blocks
// overlapped. Three times as many threads as poses shorten the copies.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/kernel.cuh"

namespace poseda {

constexpr int kPosesPerBlock = 32;
// Shared memory that every GPU gives without asking.
constexpr int kSharedBytes = 48 * 1024;
// A small batch is cut into smaller blocks, so that more multiprocessors share it.
constexpr int kFewBlocks = 128, kFewPoses = 8;

inline int poses_per_block(int64_t batch, int bytes_per_pose) {
  int poses = kPosesPerBlock;
  while (poses > 1 && poses * bytes_per_pose > kSharedBytes) poses /= 2;
  while (poses > kFewPoses && batch < static_cast<int64_t>(poses) * kFewBlocks) poses /= 2;
  return poses;
}

template <class Op, class Storage>
cudaError_t start(const Op& op, const Fields& fields, cudaStream_t stream) {
  const int stride = fields.rows | 1;
  const int bytes_per_pose = stride * static_cast<int>(sizeof(typename ComputeType<Storage>::type));
  const int poses = poses_per_block(fields.batch, bytes_per_pose);
  const int64_t blocks = (fields.batch + poses - 1) / poses;
  tile_kernel<Op, Storage>
      <<<static_cast<unsigned>(blocks), kThreads, poses * bytes_per_pose, stream>>>(op, fields,
                                                                                    stride, poses);
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
