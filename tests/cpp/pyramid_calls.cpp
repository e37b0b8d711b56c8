#include "pyramid_calls.hpp"

#include <algorithm>

#include "voxels.hpp"

namespace tinypyr_tests {

FactorTable::FactorTable(const std::vector<Shape>& factors) {
  for (auto& row : rows) std::fill(std::begin(row), std::end(row), 1);
  for (std::size_t level = 0; level < factors.size(); ++level)
    std::copy(factors[level].begin(), factors[level].end(), rows[level]);
}

Options options_of(const Pooling& pooling) {
  Options options;
  options.method = pooling.method;
  options.rounding = pooling.rounding;
  options.ties = pooling.ties;
  options.has_ignore = pooling.has_ignore;
  options.ignore = pooling.ignore;
  set_voxel_offset(options, pooling.voxel_offset.data());
  return options;
}

HeapArray heap_array(Dtype dtype, const Shape& shape, Layout layout) {
  HeapArray array;
  const Shape strides = strides_of(layout, shape, width_of(dtype));
  array.bytes.resize(static_cast<std::size_t>(product(shape) * width_of(dtype)));
  fill_unwritten(array.bytes.data(), array.bytes.size());
  array.view.data = array.bytes.data();
  array.view.ndim = static_cast<int>(shape.size());
  array.view.dtype = dtype;
  std::copy(shape.begin(), shape.end(), array.view.shape);
  std::copy(strides.begin(), strides.end(), array.view.strides);
  return array;
}

std::vector<HeapArray> heap_levels(Dtype dtype, const LevelBox& input, const std::vector<Shape>& factors,
                                   Layout layout) {
  std::vector<HeapArray> levels;
  for (const LevelBox& box : coarser_levels(input, factors)) levels.push_back(heap_array(dtype, box.shape, layout));
  return levels;
}

void fill_random(HeapArray& array, Content content, Random& random) {
  const int width = width_of(array.view.dtype);
  for (std::size_t i = 0; i < array.bytes.size(); i += static_cast<std::size_t>(width))
    put_bits(array.bytes.data() + i, random_voxel(array.view.dtype, content, random), width);
}

Status call_pyramid(const View& input, const std::vector<Shape>& factors, const std::vector<HeapArray>& outputs,
                    const Options& options, i64* unproven) {
  std::vector<View> views;
  for (const HeapArray& output : outputs) views.push_back(output.view);
  const FactorTable table(factors);
  return pyramid(input, static_cast<int>(factors.size()), table.rows, views.data(), options, unproven);
}

bool are_equal(const std::vector<HeapArray>& left, const std::vector<HeapArray>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const HeapArray& a, const HeapArray& b) { return a.bytes == b.bytes; });
}

}  // namespace tinypyr_tests
