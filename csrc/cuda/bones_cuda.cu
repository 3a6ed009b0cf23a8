#include "cuda/run.cuh"
#include "ops/bones.h"

namespace poseda {
template cudaError_t start_cuda(const Bones<2>&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const Bones<3>&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const BonesBackward<2>&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const BonesBackward<3>&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const PoseFromBones<2>&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const PoseFromBones<3>&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const PoseFromBonesBackward<2>&, const Fields&, cudaStream_t);
template cudaError_t start_cuda(const PoseFromBonesBackward<3>&, const Fields&, cudaStream_t);
}  // namespace poseda
