// Levels of pyramid() against the oracle.

#include <algorithm>
#include <limits>

#include "harness.hpp"
#include "oracle_checks.hpp"
#include "random_volumes.hpp"
#include "voxels.hpp"

namespace tinypyr_tests {

namespace {

constexpr i64 limit = i64{1} << 60;  // of the offsets

std::vector<Layout> all_layouts() {
  std::vector<Layout> layouts;
  for (int i = 0; i < layout_count; ++i) layouts.push_back(static_cast<Layout>(i));
  return layouts;
}

Content random_content(Method method, Random& random) {
  if (random.below(3) == 0) return Content::special;
  return method == Method::mode || random.below(3) == 0 ? Content::labels : Content::noise;
}

// Fill in random options, factors and offset for a volume.
Pooling random_pooling(Method method, const Volume& volume, bool several_levels, Random& random) {
  const Shape factors[] = {{2, 2, 1}, {2, 2, 2}, {1, 2, 2}, {2, 1, 1},    {1, 1, 2},           {3, 2, 1},
                           {1, 1, 1}, {4, 4, 1}, {5, 1, 3}, {6, 10, 4},   {1, 3, 2},           {2, 2, 1},
                           {2, 2, 2}, {8, 1, 1}, {1, 1, 7}, {70, 100, 3}, {1, i64{1} << 61, 2}};
  const i64 offsets[] = {0, 1, -1, 2, -3, 5, 7, 1000003, -limit, limit - 200};
  Pooling pooling;
  pooling.method = method;
  if (!is_float(volume.dtype) && random.below(3) == 0) pooling.rounding = Rounding::floor;
  if (random.below(2) == 0) pooling.ties = Ties::lowest;
  pooling.has_ignore = random.below(2) == 0;
  if (pooling.has_ignore) pooling.ignore = random_ignore(volume, random);
  const int levels = several_levels ? 1 + random.below(most_levels) : 1;
  const bool equal_factors = random.below(2) == 0;
  for (int k = 0; k < levels; ++k) {
    Shape factor = k > 0 && equal_factors ? pooling.factors[0] : random.element(factors);
    factor.resize(volume.shape.size(), k % 2 == 0 ? 1 : 2);
    pooling.factors.push_back(factor);
  }
  pooling.voxel_offset.assign(volume.shape.size(), 0);
  if (random.below(2) == 0)
    for (i64& offset : pooling.voxel_offset) offset = random.element(offsets);
  return pooling;
}

}  // namespace

TEST(pooling, every_method_dtype_and_layout_matches_the_oracle) {
  const Shape shapes[] = {
      {},      {1},        {2},        {9},        {67},        {0},           {3, 0, 2},         {1, 1, 1},
      {5, 3},  {33, 5, 2}, {2, 5, 33}, {17, 7, 3}, {8, 8, 4},   {1, 9, 65},    {65, 1, 5},        {7, 2, 5, 3},
      {64, 4}, {4, 64},    {31, 6, 4}, {131, 3},   {2, 129, 2}, {16, 2, 8, 2}, {3, 2, 2, 3, 2, 2}};
  Random random(2024);
  int number = 0;
  for (int dtype = 0; dtype < dtype_count; ++dtype) {
    for (Method method : methods) {
      for (const Shape& shape : shapes) {
        for (bool several_levels : {false, true}) {
          const Content content = random_content(method, random);
          const Volume volume = random_volume(static_cast<Dtype>(dtype), shape, content, random);
          const Pooling pooling = random_pooling(method, volume, several_levels, random);
          if (is_selected(++number, case_interval()))
            check_volume("pooling", volume, pooling, number, all_layouts(), {1});
        }
      }
    }
  }
}

// Arrays whose fastest axes are short: channels, few slices. Their voxels are read in vectors, which must stay inside
// the array.
TEST(pooling, short_fastest_axes_match_the_oracle) {
  const i64 lengths[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 21, 31, 33, 48, 63, 80, 129, 255};
  const Shape factors[] = {{2, 2, 1}, {1, 2, 2}, {2, 2, 2}, {1, 1, 2}, {2, 1, 2}, {1, 2, 1}};
  Random random(31);
  int number = 0;
  for (int dtype = 0; dtype < dtype_count; ++dtype) {
    for (Method method : methods) {
      for (i64 length : lengths) {
        const i64 run = 60 + random.below(80);
        Shape shape = {1 + random.below(5), run, length}, factor = random.element(factors);
        if (random.below(4) == 0) shape = {run, 1 + random.below(4), length};
        const bool is_fortran = random.below(3) == 0;
        if (is_fortran) {
          std::reverse(shape.begin(), shape.end());
          std::reverse(factor.begin(), factor.end());
        }
        Pooling pooling = random_pooling(method, {static_cast<Dtype>(dtype), shape, {1}}, false, random);
        pooling.factors = {factor};
        const Volume volume = random_volume(static_cast<Dtype>(dtype), shape, random_content(method, random), random);
        if (pooling.has_ignore) pooling.ignore = random_ignore(volume, random);
        if (is_selected(++number, case_interval()))
          check_volume("short fastest axes", volume, pooling, number,
                       {is_fortran ? Layout::fortran : Layout::c, random_layout(random), Layout::gapped}, {1});
      }
    }
  }
}

// Rows longer than the library processes at a time, and footprints that need accumulators of every width.
TEST(pooling, long_rows_and_large_footprints_match_the_oracle) {
  const Shape shapes[] = {{40000}, {3, 9001, 2}, {17000, 1, 2}, {2, 3, 5001}};
  const Shape factors[] = {{2, 2, 1}, {1, 2, 2}, {2, 2, 2}, {300, 1, 1}, {3, 3, 3}, {70000, 70000, 70000}};
  Random random(7);
  int number = 0;
  for (int dtype = 0; dtype < dtype_count; ++dtype) {
    for (Method method : methods) {
      for (const Shape& shape : shapes) {
        Pooling pooling;
        pooling.method = method;
        const Content content = number % 4 == 0 ? Content::special : Content::labels;
        const Volume volume = random_volume(static_cast<Dtype>(dtype), shape, content, random);
        for (int k = 0; k < 1 + number % 2; ++k) {
          pooling.factors.push_back(random.element(factors));
          pooling.factors.back().resize(shape.size(), 1);
        }
        pooling.voxel_offset.assign(shape.size(), number % 3);
        pooling.has_ignore = number % 5 == 0;
        ++number;
        // Half of the cases, even in a full run, because each is large.
        if (is_selected(number, 2 * case_interval()))
          check_volume("long rows", volume, pooling, number, {Layout::c, Layout::fortran, Layout::gapped}, {1, 3});
      }
    }
  }
}

// All voxels are at the top of their range. Their number is the capacity of an accumulator, or one more.
TEST(pooling, largest_sums_do_not_overflow) {
  for (Dtype dtype : {Dtype::uint8, Dtype::uint16, Dtype::int16, Dtype::uint32, Dtype::uint64, Dtype::int64}) {
    for (i64 count : {2, 255, 256, 257, 258, 4096, 65535, 65536, 65537, 262144}) {
      const u64 largest = is_signed(dtype) ? largest_bits(dtype) >> 1 : largest_bits(dtype);
      Volume volume{dtype, {count}, std::vector<u64>(static_cast<std::size_t>(count), largest)};
      volume.voxels.back() -= 1;
      for (bool has_ignore : {false, true}) {
        for (Rounding rounding : {Rounding::half_even, Rounding::floor}) {
          Pooling pooling;
          pooling.rounding = rounding;
          pooling.has_ignore = has_ignore;
          pooling.factors = {{count}};
          pooling.voxel_offset = {0};
          const PlacedArray input = place_input(volume, Layout::c, Side::high);
          check_levels("largest sums", volume, pooling, input, Layout::c, expected_levels(volume, pooling), {});
        }
      }
    }
  }
}

// Buffers are sized by the voxels that exist, because a size computed from the factor alone would overflow here. In
// this layout, with contiguous rows of axis 0 and a gap after each plane, several rows are read in place.
TEST(pooling, factors_beyond_the_array_match_the_oracle) {
  const Shape shape = {2, 3000, 3};
  Random random(17);
  for (Dtype dtype : {Dtype::uint8, Dtype::uint16, Dtype::float32, Dtype::uint64}) {
    for (i64 factor :
         {i64{1} << 57, i64{1} << 58, i64{1} << 59, i64{1} << 60, i64{1} << 61, std::numeric_limits<i64>::max()}) {
      const Volume volume = random_volume(dtype, shape, Content::labels, random);
      const i64 width = width_of(dtype);
      const Shape strides = {width, 2 * width, 2 * 3001 * width};
      const PlacedArray input = place_input(volume, strides, factor % 3 == 0 ? Side::high : Side::low);
      Pooling pooling;
      pooling.voxel_offset = {0, 0, 0};
      pooling.factors = {{factor, 1, 1}, {2, 2, factor}};
      for (Method method : methods) {
        pooling.method = method;
        const std::vector<Volume> expected = expected_levels(volume, pooling);
        check_levels("huge factors", volume, pooling, input, Layout::fortran, expected,
                     {Layout::fortran, Side::high, 1});
      }
    }
  }
}

}  // namespace tinypyr_tests
