// The extension module poseda_ext._C. Importing it registers the kernels; it has one function.
#include <pybind11/pybind11.h>

#include "cpu/dispatch.h"
#include "math/constants.h"

#ifndef POSEDA_CUDA_ARCHITECTURES
#define POSEDA_CUDA_ARCHITECTURES ""
#define POSEDA_CUDA_VERSION ""
#endif

namespace {

pybind11::dict build_info() {
  using namespace pybind11::literals;
#ifdef POSEDA_X86
  const auto levels = pybind11::make_tuple("baseline", "avx2", "avx512");
#else
  const auto levels = pybind11::make_tuple("baseline");
#endif
  return pybind11::dict(
      "version"_a = POSEDA_VERSION, "torch_target"_a = POSEDA_TORCH_TARGET,
      "torch_built_with"_a = POSEDA_TORCH_VERSION, "compiler"_a = POSEDA_COMPILER,
      "cuda"_a = POSEDA_CUDA_ARCHITECTURES[0] != '\0', "cuda_version"_a = POSEDA_CUDA_VERSION,
      "cuda_architectures"_a = POSEDA_CUDA_ARCHITECTURES, "cpu_levels"_a = levels,
      "cpu_level"_a = poseda::name(poseda::cpu_level()),
      "constants"_a = pybind11::dict(
          "MIN_BONE_LENGTH"_a = poseda::kMinBoneLength, "MIN_BOX_SIZE"_a = poseda::kMinBoxSize,
          "MIN_DEPTH"_a = poseda::kMinDepth, "MIN_FOCAL_LENGTH"_a = poseda::kMinFocalLength,
          "MIN_HALFWAY"_a = poseda::kMinHalfway));
}

}  // namespace

PYBIND11_MODULE(_C, module) {
  module.doc() = "Compiled kernels of poseda_ext; importing this registers them with torch.";
  module.def("build_info", &build_info, "What this extension was built with, and what it uses.");
}
