// tinypyr: image pyramids of arrays in memory, and values between voxels. The whole C++ interface.
//
// Add the .cpp files of this folder to your sources (or add_subdirectory it and link `tinypyr`), include this file, optimise,
// and link the thread library. C++17, no other dependency.
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
//
// Nothing here throws. Voxel j of a level covers the voxels [j*F, (j+1)*F) of the input that exist, F being the product
// of the factors up to that level, and every level is exact, as if it had been made from the input alone.
#pragma once

#include <cstdint>

#include "core/view.hpp"

namespace tinypyr {

enum class Method : std::uint8_t { mean, mode, median, min, max, stride };
enum class Rounding : std::uint8_t { half_even, floor };  // of the mean of integers
enum class Ties : std::uint8_t { first, lowest };         // first: with axis 0 fastest

struct Options {
  Method method = Method::mean;
  Rounding rounding = Rounding::half_even;
  Ties ties = Ties::first;
  bool has_ignore = false;
  std::uint64_t ignore = 0;                    // the bits of the value left out, in the low bytes, native byte order
  const std::int64_t* voxel_offset = nullptr;  // global coordinate of the first voxel, one per axis; null: all 0
  int threads = 1;                             // 0: one per core
  int isa = -1;  // an index into instruction_sets(); -1: TINYPYR_ISA, or what is best here for in's rows
  bool (*keep_going)(void*) = nullptr;  // asked now and then by the calling thread; false stops the call
  void* context = nullptr;
};

// Fill outs[0..levels) with the levels of in, finest first. factors[k][axis] is the factor from level k to k + 1.
//
// Outs have in's dtype and extents ceil((voxel_offset + n) / F) - floor(voxel_offset / F); they must not overlap in or each other.
// When unproven is not null it receives, per level, the number of voxels whose mode is not proven because more than
// 1,024 labels lie below them (0 for every other method).
//
// When sums is not null, which is for means of fewer than max_levels levels, it receives what the last level's voxels were
// divided from, so that levels above can be made elsewhere: one more axis than in, of sum_lanes(...) lanes, before in's own.
// Of floats (float64): the sum, and with ignore how many voxels it is of. Of integers (uint64), signed ones having their
// sign bit flipped: up to 32 bits, the sum of all voxels, and with ignore how many are to be left out of it; of 64 bits, the
// sums of the low and of the high halves, and with ignore how many voxels they are of.
Status pyramid(const View& in, int levels, const std::int64_t (*factors)[max_ndim], const View* outs,
               const Options& options, std::int64_t* unproven = nullptr, const View* sums = nullptr) noexcept;

// Lanes of the sums of a dtype.
int sum_lanes(Dtype dtype, bool has_ignore) noexcept;

// The distinct values of a contiguous array of n voxels of 1, 2, 4 or 8 bytes as their bits, in the order in which they are
// met: how many there are, room + 1 if they are more than room, or -1 if there is no memory.
std::int64_t distinct(const void* voxels, std::int64_t n, int width, std::uint64_t* found, std::int64_t room) noexcept;

// How an array continues beyond its edges, with the names of scipy.ndimage (see sample/boundary.hpp). border: voxels reach half a
// voxel beyond their centres; beyond that it is as constant.
enum class BoundaryMode : std::uint8_t { constant, grid_constant, nearest, mirror, reflect, wrap, grid_wrap, border };

struct Sampling {
  int order = 1;  // of the splines: 0 nearest voxel, 1 linear, 2 to 5 of prefiltered coefficients (float64)
  BoundaryMode boundary_mode = BoundaryMode::constant;
  double fill = 0;                       // of constant, grid_constant and border, where it is mixed with voxels
  std::uint64_t fill_bits = 0;           // the same as a voxel of the output, in the low bytes
  const std::int64_t* extent = nullptr;  // of the whole array, of which the input is a part
  const std::int64_t* first =
      nullptr;     // of the part in the whole; a part may pass the end and continue at the beginning
  double pad = 0;  // added to every coordinate
  int isa = -1;    // as in Options
};

// Interpolate at the points of an affine map. Voxel o of out, counted from `start` on, is the whole array's value at
// matrix * o + offset; the matrix has a row of out.ndim numbers for each axis of in. Order 0: out has in's dtype, and voxels are
// copied unchanged; else any dtype, with values rounded half away from zero and clipped to its range (bool: value >= 1).
Status sample_affine(const View& in, const double* matrix, const double* offset, const std::int64_t* start,
                     const View& out, const Sampling& how) noexcept;

// Interpolate at a list of points: coordinates are float64 of shape (in.ndim, n), and out has n voxels.
Status sample_points(const View& in, const View& coordinates, const View& out, const Sampling& how) noexcept;

// How a voxel is combined with the value of a field at that voxel. divide: the voxel unchanged where the value is 0. mask: the voxel
// unchanged where the value is at least 1/2, else 0.
enum class Operation : std::uint8_t { divide, multiply, subtract, mask };
constexpr int operation_count = 4;

// Combine a volume with a field. Voxel o of out is voxel o of full combined with in's value there, as of sample_affine; full has
// out's extents, and for mask its dtype. Computed in doubles, rounded half to even and clipped to out's range (bool: value >= 1).
// Order 0 requires that in is of float64.
Status combine_affine(const View& in, const double* matrix, const double* offset, const std::int64_t* start,
                      const View& full, Operation operation, const View& out, const Sampling& how) noexcept;

// Names of the instruction sets usable on this machine, best first; count receives how many.
const char* const* instruction_sets(int* count) noexcept;

// The index of the instruction set that TINYPYR_ISA asks for, 0 where it is unset or empty (then the best one is taken, or
// for short rows a narrower one), -1 where it is unknown.
int chosen_instruction_set() noexcept;

}  // namespace tinypyr
