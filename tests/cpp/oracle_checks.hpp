// Checks that pyramid() returns the levels of the oracle, on every instruction set and in guarded memory.
#pragma once

#include <vector>

#include "arrays.hpp"
#include "pooling_oracle.hpp"

namespace tinypyr_tests {

// The execution of one case: everything that must not change its result.
struct Execution {
  Layout output_layout = Layout::c;
  Side side = Side::high;  // of the outputs
  int threads = 1;
};

// Check one input on every instruction set. `subject` and `input_layout` are used in messages.
void check_levels(const char* subject, const Volume& volume, const Pooling& pooling, const PlacedArray& input,
                  Layout input_layout, const std::vector<Volume>& expected, const Execution& execution);

// Check one volume in each of the layouts with each number of threads. The number of the case determines the side on
// which the arrays touch their guard page, and if outputs have another layout than the input.
void check_volume(const char* subject, const Volume& volume, const Pooling& pooling, int case_number,
                  const std::vector<Layout>& layouts, const std::vector<int>& thread_counts);

}  // namespace tinypyr_tests
