// What the sampler knows of its loops: the table that each instruction set fills (kernels/samples.inl).
//
// Voxels are made a strip at a time: coordinates, then which neighbours and how far from them (locate), then values. A
// voxel all of whose neighbours are at hand is plain, and has loops; the others are made one by one (sample/sampler.hpp).
#pragma once

#include "../kernels/table.hpp"
#include "splines.hpp"

namespace tinypyr {

constexpr i64 strip = 128;  // voxels: their coordinates, neighbours and values fit the first-level cache

enum Where : u8 { plain = 0, edge = 1, outside = 2 };

// One axis of what is sampled.
struct SampleAxis {
  i64 extent, first, count;  // of the whole; the part at hand, which goes on at the beginning where it passes the end
  i64 stride;                // bytes
  i64 step;                  // to the next neighbour, bytes; 0 where there is one voxel only
  double low, high;          // plain: coordinates from and to these, whose neighbours all are at hand
  double line_high;          // the same, where the middle neighbour always is the one below
  double top;                // the middle neighbour of what lies on the last voxel, which needs none beyond it
  double held;               // how far beyond the array coordinates are those of its edge
  bool ends;                 // the last voxel is at hand, and is its own neighbour
  bool clamped, cut;         // coordinates beyond the array are those of its edge; or are outside, but for
  double margin;             // so much on either side
};

struct StripOf {  // up to `strip` voxels; one row of `strip` numbers per axis
  i64 n;
  int ndim;
  double *coordinate, *fraction;
  i64* offset;  // of the first neighbour, bytes
  u8* where;
};

struct SampleKernels {
  // coordinate[i] = before + (from + i) * slope + after[0] + ... + pad, in this order
  void (*advance)(double* coordinate, i64 n, i64 from, double before, double slope, const double* after, int afters,
                  double pad);
  // Fractions, offsets and where; whether all are plain.
  bool (*locate)(const SampleAxis* axes, int order, const StripOf&);
  // Both at once, of a strip whose coordinates are before + (from + i) * slope, if all are plain; else false.
  bool (*locate_line)(const SampleAxis* axes, int order, const StripOf&, i64 from, const double* before,
                      const double* slope);
  // Plain voxels. Nearest, by width: voxels as they are.
  void (*nearest[4])(const char* from, const i64* offset, i64 n, char* to, i64 to_stride);
  // By dtype and ndim - 1. corner: offsets of the pairs of neighbours, one per pair; next: from one of a pair to the other.
  void (*linear[dtype_count][3])(const char* from, const i64* offset, const double* fraction, const i64* corner,
                                 i64 next, i64 n, double* to);
  // Of rows that are interpolated already, by how many fractions lie between them, less one.
  void (*blend[2])(const double* const* rows, const double* fraction, i64 n, double* to);
  // Of coefficients, by order - 2 and ndim - 1; neighbours along the last axis lie side by side.
  void (*spline[max_order - 1][3])(const char* from, const i64* offset, const double* fraction, const SampleAxis* axes,
                                   i64 n, double* to);
  // Rounded half away from zero, into the dtype's range; NaN is 0.
  void (*store[dtype_count])(const double* from, i64 n, char* to, i64 to_stride);
};

}  // namespace tinypyr
