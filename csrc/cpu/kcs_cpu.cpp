#include "cpu/run.h"
#include "ops/kcs.h"
#include "ops/known_pairs.h"

namespace poseda {
inline namespace POSEDA_ISA {
template void run(const Kcs<2>&, const Fields&, int64_t, int64_t);
template void run(const Kcs<3>&, const Fields&, int64_t, int64_t);
template void run(const KcsBackward<2>&, const Fields&, int64_t, int64_t);
template void run(const KcsBackward<3>&, const Fields&, int64_t, int64_t);
template void run(const Kcs<3, H36mPairs>&, const Fields&, int64_t, int64_t);
template void run(const KcsBackward<3, H36mPairs>&, const Fields&, int64_t, int64_t);
}  // namespace POSEDA_ISA
}  // namespace poseda
