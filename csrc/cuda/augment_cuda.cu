#include "cuda/run.cuh"
#include "ops/augment.h"

namespace poseda {
template cudaError_t start_cuda(const Augment&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const AugmentBackward&, const Fields&, cudaStream_t);
}  // namespace poseda
