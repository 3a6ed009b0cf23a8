#include "cpu/run.h"
#include "ops/gpa.h"

namespace poseda {
inline namespace POSEDA_ISA {
template void run(const Gpa&, const Fields&, int64_t, int64_t);
template void run(const GpaBackward&, const Fields&, int64_t, int64_t);
}  // namespace POSEDA_ISA
}  // namespace poseda
