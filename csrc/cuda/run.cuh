// The CUDA driver: launches the kernel.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/kernel.cuh"

namespace poseda {

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
