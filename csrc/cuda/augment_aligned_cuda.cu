#include "cuda/run.cuh"
#include "ops/augment_aligned.h"

namespace poseda {
template cudaError_t start_cuda(const AugmentAligned&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const AugmentAlignedBackward&, const Fields&, cudaStream_t);
}  // namespace poseda
