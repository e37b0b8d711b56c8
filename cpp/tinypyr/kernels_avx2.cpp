// Pooling kernels for AVX2.

#include "isa/list.hpp"
#include "kernels/table.hpp"

#if TINYPYR_X86
namespace tinypyr {

TINYPYR_BEGIN_avx2
#include "kernels/kernels.inl"
const Kernels table = all_kernels;
TINYPYR_END_avx2

}  // namespace tinypyr
#endif
