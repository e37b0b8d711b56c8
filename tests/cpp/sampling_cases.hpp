// Random calls of sample_affine(), and the values that the oracle expects from them.
#pragma once

#include <vector>

#include "random_volumes.hpp"
#include "sampling_oracle.hpp"

namespace tinypyr_tests {

struct SamplingCase {
  Interpolation interpolation;
  Shape output_shape, start;  // `start` is the index of the first output voxel
  // Output voxel o has coordinate matrix * (start + o) + offset.
  std::vector<double> matrix, offset;
  const char* map;  // the kind of matrix
  Layout input_layout, output_layout;
  Side side;  // of all arrays

  // Set the context of failed checks.
  void describe(const char* subject, int number) const;
};

// Return the same case for the same number, so that one test can rely on the checks of another.
SamplingCase random_sampling_case(int number);

// Results of the oracle for all output voxels, in order.
struct ExpectedSamples {
  std::vector<double> coordinates;
  std::vector<Interpolated> values;
  bool are_incomplete = false;  // the call fails, because some voxel is outside the part
};

ExpectedSamples expected_samples(const SamplingCase& sampling);

// Return floats that are multiples of 1/7 below largest / 7, or labels.
Volume random_samples(Dtype dtype, const Shape& shape, int largest, Random& random);

// Return the part of the array that a call receives.
PlacedArray place_part(const SamplingCase& sampling);

// Return options whose pointers refer to `interpolation`.
Sampling options_of(const Interpolation& interpolation);

}  // namespace tinypyr_tests
