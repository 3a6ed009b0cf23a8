// Picks the build of the CPU kernels for the machine that runs them, and starts the threads.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>

#include "ops/fields.h"

namespace poseda {

enum class CpuLevel { kBaseline, kAvx2, kAvx512 };

// The best level that this machine has, or what POSEDA_CPU_CAPABILITY asks for if that is lower.
CpuLevel cpu_level();
const char* name(CpuLevel level);
// SIMD register size.
int vector_bytes(CpuLevel level);

namespace baseline {
template <class Op>
void run(const Op&, const Fields&, int64_t begin, int64_t end);
}
#ifdef POSEDA_X86
namespace avx2 {
template <class Op>
void run(const Op&, const Fields&, int64_t begin, int64_t end);
}
namespace avx512 {
template <class Op>
void run(const Op&, const Fields&, int64_t begin, int64_t end);
}
#endif

template <class Op>
using Runner = void (*)(const Op&, const Fields&, int64_t begin, int64_t end);

template <class Op>
Runner<Op> runner(CpuLevel level) {
#ifdef POSEDA_X86
  if (level == CpuLevel::kAvx512) return &avx512::run<Op>;
  if (level == CpuLevel::kAvx2) return &avx2::run<Op>;
#endif
  return &baseline::run<Op>;
}

struct Cpu {
  // A thread is worth starting for this many numbers.
  static constexpr int64_t kNumbersPerThread = 1 << 16;
  // Has kernels for the pairs of bones in ops/known_pairs.h.
  static constexpr bool kKnowsPairs = true;

  template <class Op>
  static void launch(const Op& op, const Fields& fields, int32_t /*device*/) {
    const CpuLevel level = cpu_level();
    const int64_t lanes = vector_bytes(level) / (fields.dtype == Dtype::kDouble ? 8 : 4);
    const int64_t blocks = (fields.batch + lanes - 1) / lanes;
    const int64_t grain = std::max<int64_t>(1, kNumbersPerThread / (fields.rows * lanes));
    const Runner<Op> run = runner<Op>(level);
    torch::stable::parallel_for(0, blocks, grain,
                                [&](int64_t begin, int64_t end) { run(op, fields, begin, end); });
  }
};

}  // namespace poseda
