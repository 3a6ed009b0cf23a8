#include "cuda/run.cuh"
#include "ops/project.h"

namespace poseda {
template cudaError_t start_cuda(const Project&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const ProjectBackward&, const Fields&, cudaStream_t);
}  // namespace poseda
