// tinypyr: image pyramids of arrays in memory, and interpolation between voxels. This file is the whole C++ interface.
//
// Add the .cpp files of this folder to your sources (or add_subdirectory it and link `tinypyr`), include this file,
// optimise, and link the thread library. The library needs C++17 and nothing else.
//
//   std::uint8_t voxels[4 * 6] = {...}, half[2 * 3];          // C order: the last axis is contiguous
//   tinypyr::View in, out;
//   in.data = reinterpret_cast<char*>(voxels);
//   out.data = reinterpret_cast<char*>(half);
//   in.ndim = out.ndim = 2;
//   in.shape[0] = 4, in.shape[1] = 6, in.strides[0] = 6, in.strides[1] = 1;      // strides in bytes
//   out.shape[0] = 2, out.shape[1] = 3, out.strides[0] = 3, out.strides[1] = 1;
//   const std::int64_t factor[1][tinypyr::max_ndim] = {{2, 2}};                  // one row per level
//   tinypyr::Options options;                                                    // mean, half to even, one thread
//   tinypyr::Status status = tinypyr::pyramid(in, 1, factor, &out, options);
//   if (status != tinypyr::Status::ok) std::puts(tinypyr::to_text(status));
//
// No function throws; errors are returned as a Status. Voxel j of a level is computed from the voxels [j*F, (j+1)*F) of
// the input that exist, its footprint. F is the product of the factors up to that level. Every level has the values
// that a computation directly from the input gives; no error accumulates from level to level.
#pragma once

#include <cstdint>

#include "core/view.hpp"

namespace tinypyr {

// --- pyramids -----------------------------------------------------------------------------------------------------

enum class Method : std::uint8_t { mean, mode, median, min, max, stride };
enum class Rounding : std::uint8_t { half_even, floor };  // for means of integers
enum class Ties : std::uint8_t { first, lowest };         // first: the first in raster order, axis 0 fastest

struct Options {
  Method method = Method::mean;
  Rounding rounding = Rounding::half_even;
  Ties ties = Ties::first;
  bool has_ignore = false;
  std::uint64_t ignore = 0;                    // bits of the ignored value, in the low bytes, in native byte order
  const std::int64_t* voxel_offset = nullptr;  // global coordinate of the first voxel, one per axis; null: all 0
  int threads = 1;                             // 0: one per core
  int isa = -1;  // index into instruction_sets(); -1: the set in TINYPYR_ISA, or the best one for the rows of `in`
  bool (*keep_going)(void*) = nullptr;  // polled by the calling thread; false stops the call
  void* context = nullptr;              // argument of keep_going
};

// Fill outs[0..levels) with the levels of in, finest first. factors[k][axis] is the factor from level k to k + 1.
//
// Outputs have the dtype of in, and extents ceil((voxel_offset + n) / F) - floor(voxel_offset / F). They must not
// overlap in or each other. If unproven is not null, it receives, per level, the number of voxels whose mode is not
// proven because their footprints hold more than 1,024 labels (0 for every other method).
//
// If sums is not null, it receives the accumulators of the last level, from which further levels can be computed. This
// is possible for means of fewer than max_levels levels. Its first axis has sum_lanes(...) lanes, and the others have
// the extents of the last level:
//
//   floats (float64)                    the sum; with ignore, the number of voxels in it
//   integers of up to 32 bits (uint64)  the sum of all voxels; with ignore, the number of ignored voxels
//   integers of 64 bits (uint64)        the sums of the low and of the high halves; with ignore, the number of voxels
//                                       in them
//
// Signed integers are summed with their sign bit flipped.
Status pyramid(const View& in, int levels, const std::int64_t (*factors)[max_ndim], const View* outs,
               const Options& options, std::int64_t* unproven = nullptr, const View* sums = nullptr) noexcept;

// Return the number of lanes in the sums of a dtype.
int sum_lanes(Dtype dtype, bool has_ignore) noexcept;

// Write the distinct values of a contiguous array of n voxels of 1, 2, 4 or 8 bytes, as bits and in order of their
// first voxels. Return their number, room + 1 if it exceeds room, or -1 if memory runs out.
std::int64_t distinct(const void* voxels, std::int64_t n, int width, std::uint64_t* values, std::int64_t room) noexcept;

// --- interpolation ------------------------------------------------------------------------------------------------

// The values beyond the border of an array, with the names of scipy.ndimage (sample/boundary.hpp). `border` is like
// `constant`, but the array ends half a voxel beyond the centres of its border voxels.
enum class BoundaryMode : std::uint8_t { constant, grid_constant, nearest, mirror, reflect, wrap, grid_wrap, border };

struct Sampling {
  int order = 1;  // of the spline: 0 nearest voxel, 1 linear; 2 to 5 need coefficients (float64, prefiltered)
  BoundaryMode boundary_mode = BoundaryMode::constant;
  double fill = 0;                       // value beyond the array for constant, grid_constant and border
  std::uint64_t fill_bits = 0;           // the fill value as a voxel of the output, in the low bytes
  const std::int64_t* extent = nullptr;  // of the whole array, of which the input is a part
  // Index of the part's first voxel in the whole array. A part that reaches the end continues at the beginning.
  const std::int64_t* first = nullptr;
  double pad = 0;  // added to every coordinate
  int isa = -1;    // as in Options
};

// Interpolate at the coordinates of an affine map. Voxel o of out, numbered from `start` on, becomes the value of the
// whole array at matrix * o + offset. The matrix has a row of out.ndim numbers for each axis of in. Order 0 copies
// voxels, and out has the dtype of in. Other orders round half away from zero and clip to the range of out, which may
// have any dtype; a boolean is true if the value is at least 1.
Status sample_affine(const View& in, const double* matrix, const double* offset, const std::int64_t* start,
                     const View& out, const Sampling& how) noexcept;

// Interpolate at listed coordinates: float64 of shape (in.ndim, n). out has n voxels, with values as from
// sample_affine.
Status sample_points(const View& in, const View& coordinates, const View& out, const Sampling& how) noexcept;

// Operations on a voxel and the value of a field at its position. `divide` leaves the voxel unchanged where the value
// is 0. `mask` leaves the voxel unchanged where the value is at least 1/2, and sets it to 0 elsewhere.
enum class Operation : std::uint8_t { divide, multiply, subtract, mask };
constexpr int operation_count = 4;

// Combine a volume with an interpolated field. Voxel o of out is the result of the operation on voxel o of full and the
// value of in that sample_affine computes for o. full has the extents of out and, for mask, its dtype. Results are
// computed in doubles, rounded half to even and clipped to the range of out; a boolean is true if the result is at
// least 1. For order 0, in is float64.
Status combine_affine(const View& in, const double* matrix, const double* offset, const std::int64_t* start,
                      const View& full, Operation operation, const View& out, const Sampling& how) noexcept;

// --- instruction sets ---------------------------------------------------------------------------------------------

// Return the names of the instruction sets that this machine can run, best first, and set *count to their number.
const char* const* instruction_sets(int* count) noexcept;

// Return the index of the instruction set in TINYPYR_ISA, or -1 if this machine cannot run it. If TINYPYR_ISA is unset
// or empty, return 0; the best set is then used, or a narrower one for short rows.
int chosen_instruction_set() noexcept;

}  // namespace tinypyr
