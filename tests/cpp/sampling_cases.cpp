#include "sampling_cases.hpp"

#include "harness.hpp"
#include "voxels.hpp"

namespace tinypyr_tests {

namespace {

// Extents up to about 300 voxels of one axis or of a plane; in three or more dimensions fewer per axis. Above that the
// last axis is longer, so that its rows reach loops that short rows do not.
void choose_shapes(int ndim, SamplingCase& sampling, Random& random) {
  constexpr i64 longer = 24;
  Interpolation& interpolation = sampling.interpolation;
  for (int axis = 0; axis < ndim; ++axis) {
    const int most = ndim == 1 ? 300 : ndim == 2 ? 30 : ndim < 5 ? 9 : 3;
    const int most_outputs = ndim == 1 ? 400 : ndim == 2 ? (axis == 0 ? 150 : 15) : most;
    const i64 more = ndim > 3 && axis == ndim - 1 ? longer : 0;
    const i64 extent = 1 + random.below(most) + more;
    interpolation.whole.shape.push_back(extent);
    sampling.output_shape.push_back(1 + random.below(most_outputs) + more);
    const bool is_whole = random.below(3) > 0;
    interpolation.part_first.push_back(is_whole ? 0 : random.below(extent));
    interpolation.part_shape.push_back(is_whole ? extent : random.below(extent + 1));
  }
}

void choose_options(Interpolation& interpolation, Random& random) {
  const Dtype dtype = interpolation.whole.dtype;
  interpolation.order = random.below(2);
  interpolation.boundary_mode = static_cast<BoundaryMode>(random.below(boundary_mode_count));
  const int fill = random.below(3);
  interpolation.fill = fill;
  interpolation.fill_bits = is_float(dtype) ? bits_of_float(dtype, fill) : canonical(dtype, static_cast<u64>(fill));
}

// Choose a full matrix, a diagonal one or one that reverses the axes, of multiples of 1/16, so that coordinates are
// exact.
void choose_map(int ndim, SamplingCase& sampling, Random& random) {
  const char* const maps[] = {"full", "diagonal", "reversing"};
  const int kind = random.below(3);
  sampling.map = maps[kind];
  for (int row = 0; row < ndim; ++row) {
    sampling.offset.push_back(random.below(400) / 16.0 - 6);
    for (int column = 0; column < ndim; ++column) {
      const double entry = random.below(65) / 16.0 - 2;
      const bool is_zero = kind != 0 && column != (kind == 1 ? row : ndim - 1 - row);
      sampling.matrix.push_back(is_zero ? 0 : entry);
    }
  }
}

}  // namespace

void SamplingCase::describe(const char* subject, int number) const {
  set_context("%s %d: %s, %d axes, order %d, boundary mode %d, %s matrix, %s to %s", subject, number,
              name_of(interpolation.whole.dtype), static_cast<int>(output_shape.size()), interpolation.order,
              static_cast<int>(interpolation.boundary_mode), map, name_of(input_layout), name_of(output_layout));
}

SamplingCase random_sampling_case(int number) {
  Random random(static_cast<u64>(number));
  SamplingCase sampling;
  const int ndim = 1 + random.below(number % 8 == 0 ? 6 : 4);
  const auto dtype = static_cast<Dtype>(random.below(dtype_count));
  choose_shapes(ndim, sampling, random);
  sampling.interpolation.whole = random_samples(dtype, sampling.interpolation.whole.shape, 1000, random);
  choose_options(sampling.interpolation, random);
  choose_map(ndim, sampling, random);
  sampling.input_layout = random_layout(random);
  sampling.output_layout = random_layout(random);
  sampling.side = random.below(2) == 0 ? Side::low : Side::high;
  sampling.start.assign(sampling.output_shape.size(), number % 3);
  return sampling;
}

ExpectedSamples expected_samples(const SamplingCase& sampling) {
  ExpectedSamples samples;
  const std::size_t ndim = sampling.output_shape.size();
  for_each_position(sampling.output_shape, [&](const Shape& position) {
    double x[max_ndim];
    for (std::size_t row = 0; row < ndim; ++row) {
      x[row] = sampling.offset[row];
      for (std::size_t column = 0; column < ndim; ++column)
        x[row] += sampling.matrix[row * ndim + column] * static_cast<double>(sampling.start[column] + position[column]);
    }
    samples.coordinates.insert(samples.coordinates.end(), x, x + ndim);
    samples.values.push_back(interpolate(sampling.interpolation, x));
    if (samples.values.back().outside_part) samples.are_incomplete = true;
  });
  return samples;
}

Volume random_samples(Dtype dtype, const Shape& shape, int largest, Random& random) {
  if (!is_float(dtype)) return random_volume(dtype, shape, Content::labels, random);
  Volume volume{dtype, shape, {}};
  const i64 count = product(shape);
  for (i64 i = 0; i < count; ++i) volume.voxels.push_back(bits_of_float(dtype, random.below(largest) / 7.0));
  return volume;
}

PlacedArray place_part(const SamplingCase& sampling) {
  const Interpolation& interpolation = sampling.interpolation;
  const Volume& whole = interpolation.whole;
  Volume part{whole.dtype, interpolation.part_shape, {}};
  for_each_position(part.shape, [&](Shape position) {
    for (std::size_t axis = 0; axis < position.size(); ++axis)
      position[axis] = (position[axis] + interpolation.part_first[axis]) % whole.shape[axis];
    part.voxels.push_back(whole.voxels[index_in(whole.shape, position)]);
  });
  return place_input(part, sampling.input_layout, sampling.side);
}

Sampling options_of(const Interpolation& interpolation) {
  Sampling sampling;
  sampling.order = interpolation.order;
  set_boundary_mode(sampling, interpolation.boundary_mode);
  sampling.fill = interpolation.fill;
  sampling.fill_bits = interpolation.fill_bits;
  sampling.extent = interpolation.whole.shape.data();
  sampling.first = interpolation.part_first.data();
  return sampling;
}

}  // namespace tinypyr_tests
