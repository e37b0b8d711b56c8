// Footprints of equal extents along one axis: all but the first and the last footprint of a level are whole.
#pragma once

#include <algorithm>

#include "problem.hpp"

namespace tinypyr {

// Consecutive voxels of a level along one axis whose footprints have the same number of base voxels, `present`.
struct Segment {
  i64 first, count, present;
};

// Fill up to three segments: a first voxel whose footprint may be cut, voxels with whole footprints, and a last voxel
// whose footprint may be cut. Return the number of segments.
inline int segments_of(const Problem& p, const Level& level, int axis, Segment* segment) {
  const i64 extent = level.extent[axis];
  int count = 0;
  const i64 cuts[] = {0, 1, std::max<i64>(1, extent - 1), extent};
  for (int i = 0; i < 3; ++i) {
    if (cuts[i + 1] <= cuts[i]) continue;
    const i64 present = p.present(level, axis, cuts[i]);
    if (count > 0 && segment[count - 1].present == present)
      segment[count - 1].count += cuts[i + 1] - cuts[i];
    else
      segment[count++] = {cuts[i], cuts[i + 1] - cuts[i], present};
  }
  return count;
}

// Return the number of base voxels in the largest footprints of a level, along one axis.
inline i64 most_present(const Problem& p, const Level& level, int axis) {
  const i64 first = p.present(level, axis, 0),
            second = p.present(level, axis, std::min<i64>(1, level.extent[axis] - 1));
  return std::max(first, second);
}

}  // namespace tinypyr
