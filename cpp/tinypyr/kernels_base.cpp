// Pooling kernels for the instructions that every processor of the target has.

#include "isa/list.hpp"
#include "kernels/table.hpp"

namespace tinypyr {

TINYPYR_BEGIN_base
#include "kernels/kernels.inl"
const Kernels table = all_kernels;
TINYPYR_END_base

}  // namespace tinypyr
