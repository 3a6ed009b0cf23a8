// The kernel behind every op: a block stages the rows of its poses through shared memory, and one
// thread per pose runs the op on the pose's tile.
#pragma once

#include "cuda/staging.cuh"

namespace poseda {

// Tiles of neighbouring threads are `stride` numbers apart; odd, so that threads that read the
// same row hit different banks. A block has kThreads threads for
// `poses_per_block` poses, which are fewer.
template <class Op, class Storage>
__global__ void tile_kernel(const __grid_constant__ Op op, const __grid_constant__ Fields fields,
                            const int stride, const int poses_per_block) {
  using T = typename ComputeType<Storage>::type;
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  T* tiles = reinterpret_cast<T*>(shared_bytes);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * poses_per_block;
  const int64_t left = fields.batch - first;
  const int poses = left < poses_per_block ? static_cast<int>(left) : poses_per_block;

  if constexpr (sizeof(Storage) == 2) {
    for (int f = 0; f < fields.inputs; ++f) {
      const Field field = fields.in[f];
      if (field.data == nullptr) continue;
      const Storage* data = static_cast<const Storage*>(field.data) + first * field.width;
      prefetch_field(data, poses, field.width);
    }
  }
  for (int f = 0; f < fields.inputs; ++f) {
    const Field field = fields.in[f];
    if (field.width == 0) continue;
    if (field.data == nullptr) {
      clear_field(poses, field.width, stride, tiles + field.slot);
    } else {
      const Storage* data = static_cast<const Storage*>(field.data) + first * field.width;
      load_field(data, poses, field.width, stride, tiles + field.slot);
    }
  }
  wait_for_loads();
  __syncthreads();
  if (static_cast<int>(threadIdx.x) < poses) op(tiles + threadIdx.x * stride);
  __syncthreads();
  for (int f = 0; f < fields.outputs; ++f) {
    const Field field = fields.out[f];
    if (field.width == 0) continue;
    Storage* data = static_cast<Storage*>(field.data) + first * field.width;
    store_field(data, poses, field.width, stride, tiles + field.slot);
  }
}

// Shared memory decides how many poses a multiprocessor works on at a time: the tile of `augment`
// takes 604 bytes per pose forward and 1,116 backward, which is 11 and 6 blocks of 32 poses in the
// 227 KB of a Hopper. Small blocks keep loads, arithmetic and stores of different blocks
// overlapped. Three times as many threads as poses shorten the copies.
constexpr int kPosesPerBlock = 32;
static_assert(kPosesPerBlock <= kThreads, "a thread runs the op on one pose");
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

}  // namespace poseda
