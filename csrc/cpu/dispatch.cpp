#include "cpu/dispatch.h"

#include <cstdlib>
#include <cstring>

namespace poseda {
namespace {

CpuLevel best_level() {
#ifdef POSEDA_X86
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl");
  return avx512 ? CpuLevel::kAvx512 : avx2 ? CpuLevel::kAvx2 : CpuLevel::kBaseline;
#else
  return CpuLevel::kBaseline;
#endif
}

CpuLevel chosen_level() {
  const CpuLevel best = best_level();
  const char* asked = std::getenv("POSEDA_CPU_CAPABILITY");
  for (CpuLevel level : {CpuLevel::kBaseline, CpuLevel::kAvx2})
    if (asked != nullptr && std::strcmp(asked, name(level)) == 0) return std::min(level, best);
  return best;
}

}  // namespace

CpuLevel cpu_level() {
  static const CpuLevel level = chosen_level();
  return level;
}

const char* name(CpuLevel level) {
  switch (level) {
    case CpuLevel::kAvx512:
      return "avx512";
    case CpuLevel::kAvx2:
      return "avx2";
    default:
      return "baseline";
  }
}

int vector_bytes(CpuLevel level) {
  switch (level) {
    case CpuLevel::kAvx512:
      return 64;
    case CpuLevel::kAvx2:
      return 32;
    default:
      return 16;
  }
}

}  // namespace poseda
