// Pooling kernels for AVX2.

#include "isa/list.hpp"
#include "kernels/table.hpp"

#if TINYPYR_X86
#include <immintrin.h>

#define TINYPYR_PERMUTE_SSSE3

namespace tinypyr {

TINYPYR_BEGIN_avx2
#include "kernels/averages.inl"
#include "kernels/shuffle.inl"
// (This line keeps clang-format from sorting: kernels.inl needs both.)
#include "kernels/kernels.inl"
constexpr Kernels table = vector_kernels();
static_assert(is_complete_with(all_kernels, table), "a null entry that is not borrowed");
TINYPYR_END_avx2

}  // namespace tinypyr
#endif
