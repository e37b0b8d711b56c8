// The table of the sampler's loops that each instruction set fills (kernels/samples.inl).
//
// Values are computed a strip at a time: first coordinates, then neighbours and fractions (locate), then values. A
// point is plain if all its neighbours are at hand; plain points have loops, the others are computed one by one
// (sample/edge_points.hpp).
#pragma once

#include "../kernels/table.hpp"
#include "splines.hpp"

namespace tinypyr {

constexpr i64 strip = 128;  // points: their coordinates, neighbours and values fit the first-level cache

// Where a point lies.
enum Location : u8 {
  plain = 0,    // all neighbours are at hand
  edge = 1,     // some neighbours are not, or lie beyond the array
  outside = 2,  // beyond the array, where its value is `fill`
};

// One axis of the sampled array. Set by Boundary::describe.
struct SampleAxis {
  i64 extent;  // of the whole array
  i64 first;   // of the part at hand in the whole
  i64 count;   // voxels of the part, which continues at the beginning where it passes the end
  i64 stride;  // bytes
  i64 step;    // bytes to the next neighbour; 0 if there is one voxel only
  // Points are plain from `low` to `high`, and to line_high if no middle neighbour may be limited to `top`.
  double low, high, line_high;
  double top;    // the middle neighbour of points on the last voxel, so that they need none beyond it
  double reach;  // how far beyond the array a coordinate still counts as its edge
  bool ends;     // the last voxel is at hand, and a point on it needs no neighbour
  bool clamped;  // coordinates beyond the array are moved to its edge
  bool cut;      // points more than `margin` beyond the array are outside
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
  // coordinate[i] = before + (from + i) * slope + after[0] + ... + pad, added in this order
  void (*advance)(double* coordinate, i64 n, i64 from, double before, double slope, const double* after, int afters,
                  double pad);
  // Compute fractions, offsets and locations from coordinates. Return true if all points are plain (locations are unset
  // then).
  bool (*locate)(const SampleAxis* axes, int order, const Strip&);
  // The same for the coordinates before + (from + i) * slope, if all points are plain; else return false.
  bool (*locate_line)(const SampleAxis* axes, int order, const Strip&, i64 from, const double* before,
                      const double* slope);
  // Values of plain points. nearest, by width_index: voxels unchanged.
  void (*nearest[4])(const char* from, const i64* offset, i64 n, char* to, i64 to_stride);
  // By dtype and ndim - 1. corner: offsets of the pairs of neighbours along the last axis; next: from one of a pair to
  // the other.
  void (*linear[dtype_count][3])(const char* from, const i64* offset, const double* fraction, const i64* corner,
                                 i64 next, i64 n, double* to);
  // Interpolate between rows; by the number of fractions, less one.
  void (*blend[2])(const double* const* rows, const double* fraction, i64 n, double* to);
  // Of coefficients, by order - 2 and ndim - 1; neighbours along the last axis are contiguous.
  void (*spline[max_order - 1][3])(const char* from, const i64* offset, const double* fraction, const SampleAxis* axes,
                                   i64 n, double* to);
  // Round half away from zero and clip to the dtype's range; NaN becomes 0.
  void (*store[dtype_count])(const double* from, i64 n, char* to, i64 to_stride);
};

}  // namespace tinypyr
