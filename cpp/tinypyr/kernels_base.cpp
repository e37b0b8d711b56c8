// Pooling kernels for the baseline instructions of the target, which every processor has.

#include "isa/list.hpp"
#include "kernels/table.hpp"

namespace tinypyr {

TINYPYR_BEGIN_base
#include "kernels/kernels.inl"
const Kernels table = all_kernels;
TINYPYR_END_base

}  // namespace tinypyr
