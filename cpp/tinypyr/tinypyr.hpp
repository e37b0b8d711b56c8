// tinypyr: image pyramids of arrays in memory, and interpolation between voxels. The whole C++ interface.
//
// Add the .cpp files of this folder to your sources (or add_subdirectory it and link `tinypyr`), include this file,
// optimise, and link the thread library. C++17, no other dependency.
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
// Nothing here throws. Voxel j of a level covers those voxels [j*F, (j+1)*F) of the input that exist, F being the
// product of the factors up to that level, and every level is exact, as if it had been made from the input alone.
#pragma once

#include <cstdint>

#include "core/view.hpp"

namespace tinypyr {

// --- pyramids -----------------------------------------------------------------------------------------------------

enum class Method : std::uint8_t { mean, mode, median, min, max, stride };
enum class Rounding : std::uint8_t { half_even, floor };  // of the mean of integers
enum class Ties : std::uint8_t { first, lowest };         // first: in raster order with axis 0 fastest

struct Options {
  Method method = Method::mean;
  Rounding rounding = Rounding::half_even;
  Ties ties = Ties::first;
  bool has_ignore = false;
  std::uint64_t ignore = 0;                    // bits of the ignored value, in the low bytes, in native byte order
  const std::int64_t* voxel_offset = nullptr;  // global coordinate of the first voxel, one per axis; null: all 0
  int threads = 1;                             // 0: one per core
  int isa = -1;  // an index into instruction_sets(); -1: that of TINYPYR_ISA, or the best one for the rows of `in`
  bool (*keep_going)(void*) = nullptr;  // polled by the calling thread; false stops the call
  void* context = nullptr;              // its argument
};

// Fill outs[0..levels) with the levels of in, finest first. factors[k][axis] is the factor from level k to k + 1.
//
// Outs have the dtype of in, and extents ceil((voxel_offset + n) / F) - floor(voxel_offset / F); they must not overlap
// in or each other. If unproven is not null it receives, per level, the number of voxels whose mode is not proven
// because more than 1,024 labels lie below them (0 for every other method).
//
// If sums is not null, which is possible for means of fewer than max_levels levels, it receives the accumulators of the
// last level, so that further levels can be made elsewhere. It has one more axis than in, before the axes of in:
// sum_lanes(...) lanes.
//
//   floats (float64)                    the sum; with ignore, the number of voxels in it
//   integers of up to 32 bits (uint64)  the sum of all voxels; with ignore, how many of them are ignored
//   integers of 64 bits (uint64)        the sums of the low and of the high halves; with ignore, the number of voxels
//                                       in them
//
// Signed integers are summed with their sign bit flipped.
Status pyramid(const View& in, int levels, const std::int64_t (*factors)[max_ndim], const View* outs,
               const Options& options, std::int64_t* unproven = nullptr, const View* sums = nullptr) noexcept;

// The number of lanes of the sums of a dtype.
int sum_lanes(Dtype dtype, bool has_ignore) noexcept;

// Write the distinct values of a contiguous array of n voxels of 1, 2, 4 or 8 bytes, as bits and in order of their
// first voxels. Return how many there are, room + 1 if they are more than room, or -1 if memory runs out.
std::int64_t distinct(const void* voxels, std::int64_t n, int width, std::uint64_t* values, std::int64_t room) noexcept;

// --- interpolation ------------------------------------------------------------------------------------------------

// What lies beyond an array, named as in scipy.ndimage (sample/sampler.hpp). Border: voxels reach half their length beyond their
// centres, and from there on it is as with constant.
enum class BoundaryMode : std::uint8_t { constant, grid_constant, nearest, mirror, reflect, wrap, grid_wrap, border };

struct Sampling {
  int order = 1;  // of splines: 0 the nearest voxel, 1 linear, 2 to 5 from coefficients (float64, prefiltered)
  BoundaryMode boundary_mode = BoundaryMode::constant;
  double fill = 0;                       // of constant, grid_constant and border, where it counts together with voxels
  std::uint64_t fill_bits = 0;           // the same as a voxel of the output, in the low bytes
  const std::int64_t* extent = nullptr;  // of the whole array, of which the input is a part
  const std::int64_t* first =
      nullptr;     // where in it the part begins; a part may pass the end and go on at the beginning
  double pad = 0;  // added to every coordinate
  int isa = -1;    // as in Options
};

// Values between voxels. Voxel o of out, counted from `start` on, is that of the whole array at matrix * o + offset, a row of
// out.ndim numbers of the matrix for each axis of in. Order 0: out has in's dtype, and voxels are copied as they are;
// else any, rounded half away from zero into its range (to bool: whether it reaches 1).
Status sample_affine(const View& in, const double* matrix, const double* offset, const std::int64_t* start,
                     const View& out, const Sampling& how) noexcept;

// The same at places given one by one: coordinates are float64 of shape (in.ndim, n), and out has n voxels.
Status sample_points(const View& in, const View& coordinates, const View& out, const Sampling& how) noexcept;

// What is made of a voxel and the value of a field there. Divide: the voxel as it is where that value is 0. Keep: the voxel
// as it is where the value is at least 1/2, else 0.
enum class Operation : std::uint8_t { divide, multiply, subtract, mask };
constexpr int operation_count = 4;

// Voxel o of out is what the operation makes of voxel o of full and of in's value there, as of sample_affine; full has
// out's extents, and for keep its dtype. Computed in doubles, and rounded half to even into out's range (to bool: whether
// it reaches 1). Order 0: in is of float64.
Status combine_affine(const View& in, const double* matrix, const double* offset, const std::int64_t* start,
                      const View& full, Operation operation, const View& out, const Sampling& how) noexcept;

// --- instruction sets ---------------------------------------------------------------------------------------------

// The names of the instruction sets usable on this machine, best first; *count receives how many.
const char* const* instruction_sets(int* count) noexcept;

// The index of the instruction set that TINYPYR_ISA names, -1 if it is not usable. 0 if TINYPYR_ISA is unset or empty;
// the best set is then used, or for short rows a narrower one.
int chosen_instruction_set() noexcept;

}  // namespace tinypyr
