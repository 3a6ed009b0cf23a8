// Starts a CUDA kernel on the current stream of the tensors' device.
#pragma once

#include <cuda_runtime_api.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/headeronly/util/Exception.h>

#include "host/check.h"
#include "ops/fields.h"

// Weak: a torch built without CUDA does not have it, and then no CUDA tensor reaches this code.
extern "C" __attribute__((weak)) AOTITorchError
aoti_torch_get_current_cuda_stream(int32_t device_index, void** ret_stream);

namespace poseda {

template <class Op>
cudaError_t start_cuda(const Op& op, const Fields& fields, cudaStream_t stream);

struct Cuda {
  static constexpr bool kKnowsPairs = false;

  template <class Op>
  static void launch(const Op& op, const Fields& fields, int32_t device) {
    const torch::stable::accelerator::DeviceGuard guard(device);
    void* stream = nullptr;
    STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream != nullptr, "torch was built without CUDA");
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device, &stream));
    const cudaError_t error = start_cuda(op, fields, static_cast<cudaStream_t>(stream));
    STD_TORCH_CHECK(error == cudaSuccess, "CUDA launch failed: ", cudaGetErrorString(error));
  }
};

}  // namespace poseda
