#include "cpu/run.h"
#include "ops/augment.h"

namespace poseda {
inline namespace POSEDA_ISA {
template void run(const Augment&, const Fields&, int64_t, int64_t);
template void run(const AugmentBackward&, const Fields&, int64_t, int64_t);
}  // namespace POSEDA_ISA
}  // namespace poseda
