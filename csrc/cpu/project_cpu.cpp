#include "cpu/run.h"
#include "ops/project.h"

namespace poseda {
inline namespace POSEDA_ISA {
template void run(const Project&, const Fields&, int64_t, int64_t);
template void run(const ProjectBackward&, const Fields&, int64_t, int64_t);
}  // namespace POSEDA_ISA
}  // namespace poseda
