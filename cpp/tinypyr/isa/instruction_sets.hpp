// The instruction sets that this machine can run, with their kernels. The candidates come from isa/list.hpp, and the
// processor is tested for each.
#pragma once

#include "../kernels/table.hpp"
#include "list.hpp"

namespace tinypyr {

struct InstructionSets {
  static constexpr int most = 4;

  int count = 0;
  const char* names[most];
  Kernels kernels[most];
  i64 shortest_row[most];  // bytes; shorter rows are faster with the next set

  InstructionSets() {
#define TINYPYR_COUNT_SET(id, name, is_supported, shortest) +1
    static_assert(0 TINYPYR_INSTRUCTION_SETS(TINYPYR_COUNT_SET) <= most,
                  "`most` is less than the rows of isa/list.hpp");
#undef TINYPYR_COUNT_SET
#if TINYPYR_X86
    __builtin_cpu_init();
#endif
#define TINYPYR_ADD_SET(id, name, is_supported, shortest) \
  if (is_supported) add(name, id::table, shortest);
    TINYPYR_INSTRUCTION_SETS(TINYPYR_ADD_SET)
#undef TINYPYR_ADD_SET
    // Start from the narrowest set, so that the tables to borrow from are complete.
    for (int i = count - 2; i >= 0; --i) borrow_kernels(kernels[i + 1], kernels[i]);
  }

 private:
  void add(const char* name, const Kernels& table, i64 shortest) {
    names[count] = name;
    kernels[count] = table;
    if (table.shuffle.needs_vbmi && !has_vbmi()) kernels[count].shuffle = {};
    shortest_row[count++] = shortest;
  }

  static bool has_vbmi() {
#if TINYPYR_X86
    return __builtin_cpu_supports("avx512vbmi");
#else
    return false;
#endif
  }
};

// The instruction sets of this machine, tested once.
inline const InstructionSets& usable_sets() {
  static const InstructionSets sets;
  return sets;
}

}  // namespace tinypyr
