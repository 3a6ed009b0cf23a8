#include "cuda/run.cuh"
#include "ops/kcs.h"

namespace poseda {
template cudaError_t start_cuda(const Kcs<2>&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const Kcs<3>&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const KcsBackward<2>&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const KcsBackward<3>&, const Fields&, cudaStream_t);
}  // namespace poseda
