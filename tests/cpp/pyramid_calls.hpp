// Arguments of pyramid() derived from those of the oracle, and arrays on the heap for inputs that exceed the guarded
// memory.
#pragma once

#include <vector>

#include "arrays.hpp"
#include "pooling_oracle.hpp"
#include "random_volumes.hpp"

namespace tinypyr_tests {

// The factors in the form that pyramid() takes. Missing axes get factor 1.
struct FactorTable {
  explicit FactorTable(const std::vector<Shape>& factors);
  i64 rows[max_levels][max_ndim];
};

// Return options whose pointers refer to `pooling`.
Options options_of(const Pooling& pooling);

struct HeapArray {
  std::vector<char> bytes;
  View view;  // of `bytes`
};

// Allocate an array with all bytes marked as unwritten.
HeapArray heap_array(Dtype dtype, const Shape& shape, Layout layout);
std::vector<HeapArray> heap_levels(Dtype dtype, const LevelBox& input, const std::vector<Shape>& factors,
                                   Layout layout);
void fill_random(HeapArray& array, Content content, Random& random);

Status call_pyramid(const View& input, const std::vector<Shape>& factors, const std::vector<HeapArray>& outputs,
                    const Options& options, i64* unproven = nullptr);

// Return true if all levels have the same bytes.
bool are_equal(const std::vector<HeapArray>& left, const std::vector<HeapArray>& right);

}  // namespace tinypyr_tests
