// Nearest and linear interpolation, computed one coordinate after the other, and the combination of the result with a
// voxel. Shares with the library only the types of its interface.
#pragma once

#include <vector>

#include "arrays.hpp"
#include "library.hpp"

namespace tinypyr_tests {

// Arguments of an interpolation. A call receives a part of the whole array, which continues at the beginning of an axis
// if it reaches the end.
struct Interpolation {
  Volume whole;
  Shape part_first, part_shape;
  int order = 1;  // 0 nearest, 1 linear
  BoundaryMode boundary_mode = BoundaryMode::constant;
  double fill = 0;
  u64 fill_bits = 0;  // `fill` as a voxel
};

struct Interpolated {
  double value = 0;           // of order 1
  u64 bits = 0;               // of order 0
  bool outside_part = false;  // a voxel that is not in the part is needed
};

// Compute the value at one coordinate, one number per axis. Values are taken from the whole array, so that only
// outside_part depends on the part.
Interpolated interpolate(const Interpolation& interpolation, const double* coordinate);

// Return the result of an operation on a voxel and a value, as bits of output_dtype.
u64 combined(Operation operation, Dtype dtype, u64 voxel, double value, Dtype output_dtype);

}  // namespace tinypyr_tests
