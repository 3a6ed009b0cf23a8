#include "cpu/run.h"
#include "ops/bones.h"

namespace poseda {
inline namespace POSEDA_ISA {
template void run(const Bones<2>&, const Fields&, int64_t, int64_t);
template void run(const Bones<3>&, const Fields&, int64_t, int64_t);
template void run(const BonesBackward<2>&, const Fields&, int64_t, int64_t);
template void run(const BonesBackward<3>&, const Fields&, int64_t, int64_t);
template void run(const PoseFromBones<2>&, const Fields&, int64_t, int64_t);
template void run(const PoseFromBones<3>&, const Fields&, int64_t, int64_t);
template void run(const PoseFromBonesBackward<2>&, const Fields&, int64_t, int64_t);
template void run(const PoseFromBonesBackward<3>&, const Fields&, int64_t, int64_t);
}  // namespace POSEDA_ISA
}  // namespace poseda
