// Arrays for tests: voxels as a list, and the same voxels in memory with one of several layouts.
#pragma once

#include <cstddef>
#include <vector>

#include "guarded_memory.hpp"
#include "library.hpp"

namespace tinypyr_tests {

using Shape = std::vector<i64>;

i64 product(const Shape& shape);

// Return the position of a voxel in a list with axis 0 fastest.
std::size_t index_in(const Shape& shape, const Shape& position);

// Visit each position of the box [first, end), axis 0 fastest.
template <class Visit>
void for_each_position(const Shape& first, const Shape& end, Visit visit) {
  for (std::size_t axis = 0; axis < first.size(); ++axis)
    if (first[axis] >= end[axis]) return;
  Shape position = first;
  for (;;) {
    visit(position);
    std::size_t axis = 0;
    for (; axis < position.size(); ++axis) {
      if (++position[axis] < end[axis]) break;
      position[axis] = first[axis];
    }
    if (axis == position.size()) return;
  }
}

template <class Visit>
void for_each_position(const Shape& shape, Visit visit) {
  for_each_position(Shape(shape.size(), 0), shape, visit);
}

// The voxels of an array, axis 0 fastest.
struct Volume {
  Dtype dtype;
  Shape shape;
  std::vector<u64> voxels;  // bits, as in voxels.hpp
};

// Orders of the voxels in memory. The last one is C order with voxels in the opposite byte order.
enum class Layout { c, fortran, negative, gapped, unaligned, permuted, swapped };
constexpr int layout_count = 7;
constexpr int unswapped_layout_count = layout_count - 1;
const char* name_of(Layout layout);

// Return strides in bytes for voxels of `width` bytes.
Shape strides_of(Layout layout, const Shape& shape, i64 width);

// The end of the guarded memory that an array touches: its first byte or its last one.
enum class Side { low, high };

struct PlacedArray {
  View view;
  char* first_byte = nullptr;  // of the range from the array's first to its last byte
  std::size_t byte_count = 0;
  std::vector<i64> offsets;  // of the voxels from view.data in bytes, axis 0 fastest

  char* voxel(std::size_t index) const { return view.data + offsets[index]; }
  void fill_unwritten() const { tinypyr_tests::fill_unwritten(first_byte, byte_count); }
};

PlacedArray place(const GuardedMemory& memory, Dtype dtype, const Shape& shape, const Shape& strides, Side side,
                  bool swapped = false);
PlacedArray place(const GuardedMemory& memory, Dtype dtype, const Shape& shape, Layout layout, Side side);

// Write the voxels, and make the memory read-only.
PlacedArray place_input(const Volume& volume, const Shape& strides, Side side, bool swapped = false);
PlacedArray place_input(const Volume& volume, Layout layout, Side side);

// Return true if the array has the expected voxels and the bytes between them are still marked as unwritten. Afterwards
// mark all of its bytes as unwritten.
bool holds(const PlacedArray& output, const Volume& expected);

}  // namespace tinypyr_tests
