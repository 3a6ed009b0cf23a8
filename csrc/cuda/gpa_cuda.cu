#include "cuda/run.cuh"
#include "ops/gpa.h"

namespace poseda {
template cudaError_t start_cuda(const Gpa&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const GpaBackward&, const Fields&, cudaStream_t);
}  // namespace poseda
