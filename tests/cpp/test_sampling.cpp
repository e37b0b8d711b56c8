// Interpolation by sample_affine() and sample_points() against the oracle, and the arguments that they reject.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "harness.hpp"
#include "one_voxel_call.hpp"
#include "sampling_cases.hpp"
#include "voxels.hpp"

namespace tinypyr_tests {

namespace {

// Return true if a result agrees with the oracle. Order 0 copies bits. A linear value may differ by rounding, so a
// boolean is arbitrary if the value is next to the threshold 1.
bool is_expected(const Interpolated& expected, int order, Dtype dtype, u64 bits) {
  if (order == 0) return bits == expected.bits;
  if (is_boolean(dtype)) return std::abs(expected.value - 1) < 1e-9 || (bits != 0) == (expected.value >= 1);
  const double magnitude = std::max(1.0, std::abs(expected.value));
  const double tolerance = is_float(dtype) ? 1e-6 * magnitude : 0.5 + 1e-9 * magnitude;
  return std::abs(double_of(dtype, bits) - expected.value) <= tolerance;
}

bool are_expected(const ExpectedSamples& expected, int order, const PlacedArray& output) {
  const Dtype dtype = output.view.dtype;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const u64 bits = get_bits(output.voxel(i), width_of(dtype));
    if (!is_expected(expected.values[i], order, dtype, bits)) return false;
  }
  return true;
}

std::string voxel_bytes(const PlacedArray& array) {
  std::string bytes;
  for (std::size_t i = 0; i < array.offsets.size(); ++i)
    bytes.append(array.voxel(i), static_cast<std::size_t>(width_of(array.view.dtype)));
  return bytes;
}

// Check sample_points() at the coordinates that sample_affine() has computed.
void check_points(const ExpectedSamples& expected, const View& input, const Sampling& options, Side side) {
  const i64 count = static_cast<i64>(expected.values.size());
  const PlacedArray points = place(output_memory(1), Dtype::float64, {input.ndim, count}, Layout::fortran, side);
  const PlacedArray output = place(output_memory(2), input.dtype, {count}, Layout::c, side);
  std::memcpy(points.first_byte, expected.coordinates.data(), points.byte_count);
  CHECK(sample_points(input, points.view, output.view, options) == Status::ok);
  CHECK(are_expected(expected, options.order, output));
}

// Check one case on every instruction set. Return false if the oracle expects that the call fails.
bool check_sampling(const SamplingCase& sampling) {
  const ExpectedSamples expected = expected_samples(sampling);
  const PlacedArray input = place_part(sampling);
  const PlacedArray output =
      place(output_memory(0), input.view.dtype, sampling.output_shape, sampling.output_layout, sampling.side);
  Sampling options = options_of(sampling.interpolation);
  std::string first_bytes;
  for (options.isa = 0; options.isa < instruction_set_count(); ++options.isa) {
    output.fill_unwritten();
    const Status status = sample_affine(input.view, sampling.matrix.data(), sampling.offset.data(),
                                        sampling.start.data(), output.view, options);
    CHECK(status == (expected.are_incomplete ? Status::incomplete : Status::ok));
    if (expected.are_incomplete) continue;
    CHECK(are_expected(expected, options.order, output));
    const std::string bytes = voxel_bytes(output);
    if (options.isa == 0) first_bytes = bytes;
    CHECK(bytes == first_bytes);
    check_points(expected, input.view, options, sampling.side);
  }
  return !expected.are_incomplete;
}

template <class Spoil>
bool is_refused(Status status, Spoil spoil) {
  return is_refused(&OneVoxelCall::sample, status, spoil);
}

}  // namespace

TEST(sampling, interpolated_values_match_the_oracle) {
  int complete = 0, incomplete = 0;
  for (int number = 0; number < 6200; number += case_interval()) {
    const SamplingCase sampling = random_sampling_case(number);
    sampling.describe("sampling", number);
    ++(check_sampling(sampling) ? complete : incomplete);
  }
  set_context("sampling: %d cases complete, %d incomplete", complete, incomplete);
  CHECK(complete > 100 / case_interval());
  CHECK(incomplete > 100 / case_interval());
}

TEST(sampling, wrong_arguments_are_refused) {
  set_context("sampling: wrong arguments");
  CHECK(is_refused(Status::bad_view, [](OneVoxelCall& call) { call.options.order = 6; }));
  CHECK(is_refused(Status::bad_view, [](OneVoxelCall& call) { call.options.order = -1; }));
  CHECK(is_refused(Status::bad_out,
                   [](OneVoxelCall& call) { call.options.order = 3; }));  // of integers, which are no coefficients
  CHECK(is_refused(Status::bad_view, [](OneVoxelCall& call) { call.input.swapped = true; }));
  CHECK(is_refused(Status::bad_view, [](OneVoxelCall& call) { call.input.data = nullptr; }));
  CHECK(is_refused(Status::bad_view, [](OneVoxelCall& call) { call.input.shape[0] = 2; }));
  CHECK(is_refused(Status::bad_out, [](OneVoxelCall& call) {
    call.output.dtype = Dtype::uint16;
    call.options.order = 0;
  }));
  CHECK(is_refused(Status::bad_isa, [](OneVoxelCall& call) { call.options.isa = 99; }));
  for (i64 extent : {i64{0}, i64{-1}, std::numeric_limits<i64>::max()})
    CHECK(is_refused(Status::bad_view, [&](OneVoxelCall& call) { call.extent = extent; }));
}

// Modes other than constant and border may also return the voxel that they map such a coordinate to.
TEST(sampling, coordinates_far_away_give_the_fill_value_or_a_voxel) {
  for (double coordinate : {std::nan(""), HUGE_VAL, -HUGE_VAL, 1e300, -1e18}) {
    for (int number = 0; number < boundary_mode_count; ++number) {
      const auto mode = static_cast<BoundaryMode>(number);
      set_context("sampling: coordinate %g, boundary mode %d", coordinate, number);
      OneVoxelCall call;
      call.options.fill_bits = 9;
      call.options.order = 0;
      call.offset = coordinate;
      set_boundary_mode(call.options, mode);
      CHECK(call.sample() == Status::ok);
      const bool is_fill = mode == BoundaryMode::constant || mode == BoundaryMode::border;
      CHECK(call.result == 9 || (!is_fill && call.result == call.voxel));
    }
  }
}

}  // namespace tinypyr_tests
