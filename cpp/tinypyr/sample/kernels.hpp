// The table of the sampler's loops that each instruction set fills (kernels/samples.inl).
//
// Values are computed for a strip of points at a time: first coordinates, then neighbours and fractions (locate), then
// values. A point is plain if all its neighbours are in the part of the array that the call receives. Plain points have
// loops; the others are computed one by one (sample/edge_points.hpp).
#pragma once

#include "../kernels/table.hpp"
#include "splines.hpp"

namespace tinypyr {

constexpr i64 strip = 128;  // number of points: their coordinates, neighbours and values fit the first-level cache

// The position of a point relative to the array and the available part.
enum Location : u8 {
  plain = 0,    // all neighbours are in the part
  edge = 1,     // some neighbours are outside the part or the array
  outside = 2,  // outside the array, where the value is `fill`
};

// One axis of the sampled array. Set by Boundary::describe.
struct SampleAxis {
  i64 extent;  // of the whole array
  i64 first;   // index of the part's first voxel in the whole
  i64 count;   // voxels of the part, which continues at the beginning if it reaches the end
  i64 stride;  // bytes
  i64 step;    // bytes to the next neighbour; 0 if there is only one voxel
  // Points are plain from `low` to `high`, and to line_high if no middle neighbour may be limited to `top`.
  double low, high, line_high;
  double top;    // the middle neighbour of points on the last voxel, so that they need no voxel beyond it
  double reach;  // distance from the array within which a coordinate still counts as its edge
  bool ends;     // the part contains the last voxel, and a point on it needs no neighbour
  bool clamped;  // coordinates outside the array are moved to its edge
  bool cut;      // points more than `margin` outside the array are Location::outside
  double margin;
};

// Up to `strip` points. Coordinates and fractions have a row of `strip` numbers for each axis.
struct Strip {
  i64 n;
  int ndim;
  double *coordinate, *fraction;
  i64* offset;   // bytes to the first neighbour
  u8* location;  // Location
};

struct SampleKernels {
  // Compute coordinate[i] = before + (from + i) * slope + after[0] + ... + pad, added in this order.
  void (*advance)(double* coordinate, i64 n, i64 from, double before, double slope, const double* after, int afters,
                  double pad);
  // Compute fractions, offsets and locations from coordinates. If all points are plain, return true and leave locations
  // unset.
  bool (*locate)(const SampleAxis* axes, int order, const Strip&);
  // Compute the same for the coordinates before + (from + i) * slope if all points are plain; otherwise return false.
  bool (*locate_line)(const SampleAxis* axes, int order, const Strip&, i64 from, const double* before,
                      const double* slope);
  // Values of plain points. nearest, indexed by width_index: voxels unchanged.
  void (*nearest[4])(const char* from, const i64* offset, i64 n, char* to, i64 to_stride);
  // Indexed by dtype and ndim - 1. corner: offsets of the pairs of neighbours along the last axis; next: offset from
  // the first of a pair to the second.
  void (*linear[dtype_count][3])(const char* from, const i64* offset, const double* fraction, const i64* corner,
                                 i64 next, i64 n, double* to);
  // Interpolate between rows. Indexed by the number of fractions, less one.
  void (*blend[2])(const double* const* rows, const double* fraction, i64 n, double* to);
  // Values from spline coefficients. Indexed by order - 2 and ndim - 1; neighbours along the last axis are contiguous.
  void (*spline[max_order - 1][3])(const char* from, const i64* offset, const double* fraction, const SampleAxis* axes,
                                   i64 n, double* to);
  // Round half away from zero and clip to the dtype's range; NaN becomes 0.
  void (*store[dtype_count])(const double* from, i64 n, char* to, i64 to_stride);
};

}  // namespace tinypyr
