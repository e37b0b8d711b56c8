#include "arrays.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "harness.hpp"
#include "voxels.hpp"

namespace tinypyr_tests {

i64 product(const Shape& shape) {
  i64 count = 1;
  for (i64 extent : shape) count *= extent;
  return count;
}

std::size_t index_in(const Shape& shape, const Shape& position) {
  i64 index = 0;
  for (std::size_t axis = shape.size(); axis-- > 0;) index = index * shape[axis] + position[axis];
  return static_cast<std::size_t>(index);
}

const char* name_of(Layout layout) {
  constexpr const char* names[] = {"C", "Fortran", "negative", "gapped", "unaligned", "permuted", "swapped"};
  return names[static_cast<int>(layout)];
}

Shape strides_of(Layout layout, const Shape& shape, i64 width) {
  const std::size_t ndim = shape.size();
  std::vector<std::size_t> order(ndim);  // the axes, fastest first
  for (std::size_t i = 0; i < ndim; ++i) order[i] = layout == Layout::fortran ? i : ndim - 1 - i;
  if (layout == Layout::permuted && ndim > 1) std::swap(order[0], order[1]);
  Shape strides(ndim);
  i64 step = layout == Layout::gapped ? 2 * width : width;
  for (std::size_t axis : order) {
    strides[axis] = layout == Layout::negative ? -step : step;
    step *= std::max<i64>(shape[axis], 1);
    if (layout == Layout::gapped) step += 3 * width;
    if (layout == Layout::unaligned) step += 1;
  }
  return strides;
}

PlacedArray place(const GuardedMemory& memory, Dtype dtype, const Shape& shape, const Shape& strides, Side side,
                  bool swapped) {
  PlacedArray array;
  View& view = array.view;
  view.ndim = static_cast<int>(shape.size());
  view.dtype = dtype;
  view.swapped = swapped;
  i64 begin = 0, end = width_of(dtype);  // of the array's bytes, relative to its voxel 0
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    view.shape[axis] = shape[axis];
    view.strides[axis] = strides[axis];
    if (shape[axis] > 1) (strides[axis] < 0 ? begin : end) += (shape[axis] - 1) * strides[axis];
  }
  const i64 byte_count = product(shape) == 0 ? 0 : end - begin;
  if (byte_count > memory.high() - memory.low()) {
    std::printf("an array of %lld bytes does not fit the guarded memory\n    in %s\n",
                static_cast<long long>(byte_count), context());
    std::exit(2);
  }
  array.byte_count = static_cast<std::size_t>(byte_count);
  array.first_byte = side == Side::high ? memory.high() - byte_count : memory.low();
  view.data = array.first_byte - begin;
  array.offsets.reserve(static_cast<std::size_t>(product(shape)));
  for_each_position(shape, [&](const Shape& position) {
    i64 offset = 0;
    for (std::size_t axis = 0; axis < position.size(); ++axis)
      if (position[axis] != 0)
        offset += position[axis] * strides[axis];  // the stride of an axis of one voxel is arbitrary
    array.offsets.push_back(offset);
  });
  return array;
}

PlacedArray place(const GuardedMemory& memory, Dtype dtype, const Shape& shape, Layout layout, Side side) {
  return place(memory, dtype, shape, strides_of(layout, shape, width_of(dtype)), side, layout == Layout::swapped);
}

PlacedArray place_input(const Volume& volume, const Shape& strides, Side side, bool swapped) {
  input_memory().set_writable(true);
  const PlacedArray input = place(input_memory(), volume.dtype, volume.shape, strides, side, swapped);
  input.fill_unwritten();
  for (std::size_t i = 0; i < input.offsets.size(); ++i)
    put_bits(input.voxel(i), volume.voxels[i], width_of(volume.dtype), swapped);
  input_memory().set_writable(false);
  return input;
}

PlacedArray place_input(const Volume& volume, Layout layout, Side side) {
  const Shape strides = strides_of(layout, volume.shape, width_of(volume.dtype));
  return place_input(volume, strides, side, layout == Layout::swapped);
}

bool holds(const PlacedArray& output, const Volume& expected) {
  const int width = width_of(expected.dtype);
  bool right = true;
  for (std::size_t i = 0; i < output.offsets.size(); ++i) {
    const u64 bits = get_bits(output.voxel(i), width, output.view.swapped);
    const bool same = bits == expected.voxels[i];
    if (!same && right && failures_are_printed())
      std::printf("voxel %zu is %#llx instead of %#llx\n", i, static_cast<unsigned long long>(bits),
                  static_cast<unsigned long long>(expected.voxels[i]));
    right = right && same;
    fill_unwritten(output.voxel(i), static_cast<std::size_t>(width));
  }
  right = right && is_unwritten(output.first_byte, output.byte_count);
  output.fill_unwritten();
  return right;
}

}  // namespace tinypyr_tests
