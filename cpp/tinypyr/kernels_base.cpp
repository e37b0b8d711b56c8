// Pooling kernels for the baseline instructions of the target, which every processor has.

#include "isa/list.hpp"
#include "kernels/table.hpp"
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace tinypyr {

TINYPYR_BEGIN_base
#include "kernels/averages.inl"
#include "kernels/shuffle.inl"
// (This line keeps clang-format from sorting: kernels.inl needs both.)
#include "kernels/kernels.inl"
const Kernels table = all_kernels;
TINYPYR_END_base

}  // namespace tinypyr
