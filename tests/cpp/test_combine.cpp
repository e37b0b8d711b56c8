// Combination of voxels with interpolated values by combine_affine(), and the arguments that it rejects.

#include "harness.hpp"
#include "one_voxel_call.hpp"
#include "sampling_cases.hpp"
#include "voxels.hpp"

namespace tinypyr_tests {

namespace {

// The volume that is combined with the interpolated values, and the result.
struct Combination {
  Operation operation;
  Volume volume;
  Dtype output_dtype;
  Layout volume_layout, output_layout;
  Side side;

  void describe(int number) const {
    set_context("combination %d: %s, operation %d, to %s, %s with %s", number, name_of(volume.dtype),
                static_cast<int>(operation), name_of(output_dtype), name_of(volume_layout), name_of(output_layout));
  }
};

Combination random_combination(const Shape& shape, Random& random) {
  Combination combination;
  combination.operation = static_cast<Operation>(random.below(operation_count));
  const auto dtype = static_cast<Dtype>(random.below(dtype_count));
  combination.volume = random_samples(dtype, shape, 900, random);
  const bool same_dtype = combination.operation == operation_mask || random.below(2) == 0;
  combination.output_dtype = same_dtype ? dtype : static_cast<Dtype>(random.below(dtype_count));
  combination.volume_layout = random_layout(random);
  combination.output_layout = random_layout(random);
  combination.side = random.below(2) == 0 ? Side::low : Side::high;
  return combination;
}

// Return true if each voxel of `output` is the combination of the volume's voxel with the value at the same index.
bool is_combined(const Combination& combination, const PlacedArray& values, const PlacedArray& output) {
  const Dtype dtype = combination.output_dtype;
  const std::vector<u64>& voxels = combination.volume.voxels;
  for (std::size_t i = 0; i < voxels.size(); ++i) {
    const double value = float_of(Dtype::float64, get_bits(values.voxel(i), 8));
    const u64 expected = combined(combination.operation, combination.volume.dtype, voxels[i], value, dtype);
    if (get_bits(output.voxel(i), width_of(dtype)) != expected) return false;
  }
  return true;
}

// Check a combination on every instruction set, with the values that sample_affine() returns on the same set.
// (test_sampling.cpp checks these values for the same case.) If the values need voxels outside the part, check nothing
// and return false.
bool check_combination(const SamplingCase& sampling, const Combination& combination) {
  const Shape& shape = sampling.output_shape;
  const Volume& volume = combination.volume;
  const Side side = combination.side;
  const PlacedArray input = place_part(sampling);
  // The values have the order of the output, so that both calls compute their coordinates in the same way.
  const PlacedArray values = place(output_memory(1), Dtype::float64, shape, combination.output_layout, side);
  const PlacedArray with = place(output_memory(2), volume.dtype, shape, combination.volume_layout, side);
  const PlacedArray output = place(output_memory(3), combination.output_dtype, shape, combination.output_layout, side);
  for (std::size_t i = 0; i < volume.voxels.size(); ++i)
    put_bits(with.voxel(i), volume.voxels[i], width_of(volume.dtype));
  const double *matrix = sampling.matrix.data(), *offset = sampling.offset.data();
  const i64* start = sampling.start.data();
  Sampling options = options_of(sampling.interpolation);
  for (options.isa = 0; options.isa < instruction_set_count(); ++options.isa) {
    const Status status = sample_affine(input.view, matrix, offset, start, values.view, options);
    if (status == Status::incomplete) return false;
    CHECK(status == Status::ok);
    output.fill_unwritten();
    CHECK(combine_affine(input.view, matrix, offset, start, with.view, combination.operation, output.view, options) ==
          Status::ok);
    CHECK(is_combined(combination, values, output));
  }
  return true;
}

template <class Spoil>
bool is_refused(Status status, Spoil spoil) {
  return is_refused(&OneVoxelCall::combine, status, spoil);
}

}  // namespace

TEST(combine, combinations_match_the_oracle) {
  Random random(78);
  int combined_count = 0;
  for (int number = 0; number < 6200; number += case_interval()) {
    const SamplingCase sampling = random_sampling_case(number);
    const Interpolation& interpolation = sampling.interpolation;
    // Order 0 has the input's dtype, and only values of float64 can be combined.
    if (interpolation.order == 0 && interpolation.whole.dtype != Dtype::float64) continue;
    const Combination combination = random_combination(sampling.output_shape, random);
    combination.describe(number);
    if (check_combination(sampling, combination)) ++combined_count;
  }
  set_context("combination: %d cases", combined_count);
  CHECK(combined_count > 1000 / case_interval());
}

TEST(combine, wrong_arguments_are_refused) {
  set_context("combination: wrong arguments");
  OneVoxelCall call;
  CHECK(call.combine() == Status::ok);
  CHECK(call.result == 1);
  CHECK(is_refused(Status::bad_out, [](OneVoxelCall& wrong) { wrong.volume.shape[0] = 2; }));
  CHECK(is_refused(Status::bad_view, [](OneVoxelCall& wrong) { wrong.volume.ndim = 2; }));
  CHECK(is_refused(Status::bad_view, [](OneVoxelCall& wrong) { wrong.volume.swapped = true; }));
  CHECK(is_refused(Status::bad_out, [](OneVoxelCall& wrong) {
    wrong.volume.dtype = Dtype::int8;
    wrong.operation = operation_mask;
  }));
  // Order 0 requires an input of float64, because values are not converted.
  CHECK(is_refused(Status::bad_out, [](OneVoxelCall& wrong) { wrong.options.order = 0; }));
}

}  // namespace tinypyr_tests
