// The levels of a pyramid, computed one output voxel after the other from the voxels of its footprint. Shares with the
// library only the types of its interface.
#pragma once

#include <vector>

#include "arrays.hpp"
#include "library.hpp"

namespace tinypyr_tests {

// Arguments of a pyramid other than the input array.
struct Pooling {
  Method method = Method::mean;
  Rounding rounding = Rounding::half_even;
  Ties ties = Ties::first;
  bool has_ignore = false;
  u64 ignore = 0;
  std::vector<Shape> factors;  // of each level relative to the level before
  Shape voxel_offset;          // of the input
};

// Position and extents of one level.
struct LevelBox {
  Shape voxel_offset, shape;
};

// Return the box of the level above.
LevelBox coarser(const LevelBox& level, const Shape& factor);

// Return the boxes of all levels above `input`, finest first.
std::vector<LevelBox> coarser_levels(const LevelBox& input, const std::vector<Shape>& factors);

// Return the expected levels, finest first.
std::vector<Volume> expected_levels(const Volume& input, const Pooling& pooling);

}  // namespace tinypyr_tests
