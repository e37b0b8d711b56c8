// Random voxels, including the values for which implementations tend to differ.
#pragma once

#include "arrays.hpp"
#include "random.hpp"

namespace tinypyr_tests {

enum class Content {
  labels,   // a handful of values
  noise,    // any integer; floats of magnitudes so different that the order of a sum matters
  special,  // ends of the range, infinities, NaNs, -0.0, subnormals, bytes of booleans other than 0 and 1
};
constexpr int content_count = 3;

u64 random_voxel(Dtype dtype, Content content, Random& random);
Volume random_volume(Dtype dtype, const Shape& shape, Content content, Random& random);

// Return a value for Options::ignore that usually occurs in the volume. It is canonical, as the interface requires.
u64 random_ignore(const Volume& volume, Random& random);

// Return a random layout with voxels in this machine's byte order.
Layout random_layout(Random& random);

}  // namespace tinypyr_tests
