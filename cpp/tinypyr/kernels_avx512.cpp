// Pooling kernels for AVX-512, except those whose AVX2 versions are as fast (borrow_kernels in kernels/table.hpp); these
// entries are null, so they are not compiled.

#include "isa/list.hpp"
#include "kernels/table.hpp"

#if TINYPYR_X86
#include <immintrin.h>

#define TINYPYR_PERMUTE_VBMI

namespace tinypyr {

TINYPYR_BEGIN_avx512
#include "kernels/averages.inl"
TINYPYR_END_avx512

// (In a region of its own: processors without VBMI must not meet its instructions in other kernels.)
TINYPYR_REGION(TINYPYR_AVX512_VBMI)
namespace avx512 {
#include "kernels/shuffle.inl"
}
TINYPYR_REGION_END

TINYPYR_BEGIN_avx512
#include "kernels/kernels.inl"

static constexpr Kernels own_kernels() {
  Kernels kernels = vector_kernels();
  kernels.minima = kernels.maxima = {};
  for (RowKernels& rows : kernels.rows) {
    rows.copy = nullptr;
    rows.first[0] = rows.first[1] = {};
  }
  return kernels;
}
constexpr Kernels table = own_kernels();
static_assert(is_complete_with(all_kernels, table), "a null entry that is not borrowed");
TINYPYR_END_avx512

}  // namespace tinypyr
#endif
