#include "cpu/run.h"
#include "ops/augment_aligned.h"

namespace poseda {
inline namespace POSEDA_ISA {
template void run(const AugmentAligned&, const Fields&, int64_t, int64_t);
template void run(const AugmentAlignedBackward&, const Fields&, int64_t, int64_t);
}  // namespace POSEDA_ISA
}  // namespace poseda
