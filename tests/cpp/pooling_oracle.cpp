#include "pooling_oracle.hpp"

#include <algorithm>
#include <map>

#include "voxels.hpp"

namespace tinypyr_tests {

namespace {

i128 floor_divide(i128 a, i128 b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }  // b > 0

bool is_ignored(Dtype dtype, u64 voxel, const Pooling& pooling) {
  return pooling.has_ignore && canonical(dtype, voxel) == canonical(dtype, pooling.ignore);
}

u64 integer_mean(Dtype dtype, const std::vector<u64>& voxels, Rounding rounding) {
  i128 sum = 0;
  for (u64 voxel : voxels) sum += integer_of(dtype, voxel);
  const i128 count = static_cast<i128>(voxels.size());
  i128 mean = floor_divide(sum, count);
  const i128 twice_remainder = 2 * (sum - mean * count);
  const bool round_up = twice_remainder > count || (twice_remainder == count && mean % 2 != 0);
  if (rounding == Rounding::half_even && round_up) ++mean;
  return bits_of_integer(dtype, mean);
}

// Return the mode of canonical voxels in the order of the footprint, axis 0 fastest.
u64 most_frequent(Dtype dtype, const std::vector<u64>& voxels, Ties ties) {
  std::map<u64, i64> votes;
  for (u64 voxel : voxels) ++votes[voxel];
  u64 best = voxels[0];
  for (u64 voxel : voxels) {
    const i64 lead = votes[voxel] - votes[best];
    if (lead > 0 || (lead == 0 && ties == Ties::lowest && is_less(dtype, voxel, best))) best = voxel;
  }
  return best;
}

// Return the minimum, the maximum or the lower median of canonical voxels; NaN if any of them is NaN.
u64 order_statistic(Dtype dtype, std::vector<u64> voxels, Method method) {
  std::sort(voxels.begin(), voxels.end(), [&](u64 a, u64 b) { return is_less(dtype, a, b); });
  if (is_nan(dtype, voxels.back())) return voxels.back();
  if (method == Method::min) return voxels.front();
  if (method == Method::max) return voxels.back();
  return voxels[(voxels.size() - 1) / 2];
}

// Return the result of every method but the mean of floats.
u64 pooled_voxel(Dtype dtype, const std::vector<u64>& footprint, const Pooling& pooling) {
  std::vector<u64> kept;
  for (u64 voxel : footprint)
    if (!is_ignored(dtype, voxel, pooling)) kept.push_back(voxel);
  if (kept.empty()) return canonical(dtype, pooling.ignore);
  if (pooling.method == Method::stride) {
    const bool unchanged = !pooling.has_ignore || !is_boolean(dtype);
    return unchanged ? kept[0] : canonical(dtype, kept[0]);
  }
  if (pooling.method == Method::mean) return integer_mean(dtype, kept, pooling.rounding);
  for (u64& voxel : kept) voxel = canonical(dtype, voxel);
  if (pooling.method == Method::mode) return most_frequent(dtype, kept, pooling.ties);
  return order_statistic(dtype, kept, pooling.method);
}

// Find the footprint [*first, *end) in `fine` of voxel `position` of level `coarse`. `factor` is the factor between the
// two levels.
void find_footprint(const LevelBox& fine, const LevelBox& coarse, const std::vector<i128>& factor,
                    const Shape& position, Shape* first, Shape* end) {
  for (std::size_t axis = 0; axis < position.size(); ++axis) {
    const i128 index = static_cast<i128>(coarse.voxel_offset[axis]) + position[axis];
    const i128 start = fine.voxel_offset[axis];
    (*first)[axis] = static_cast<i64>(std::max<i128>(index * factor[axis] - start, 0));
    (*end)[axis] = static_cast<i64>(std::min<i128>((index + 1) * factor[axis] - start, fine.shape[axis]));
  }
}

struct Sum {
  double total;
  i64 count;
};

// Add the sums of a box in the documented order: along axis 0 first, in sequence, then along axis 1, and so on.
Sum sum_of_box(const std::vector<Sum>& sums, const Shape& shape, std::size_t axes, Shape* position, const Shape& first,
               const Shape& end) {
  if (axes == 0) return sums[index_in(shape, *position)];
  const std::size_t axis = axes - 1;
  Sum sum{0, 0};
  for (i64 i = first[axis]; i < end[axis]; ++i) {
    (*position)[axis] = i;
    const Sum part = sum_of_box(sums, shape, axis, position, first, end);
    sum = i == first[axis] ? part : Sum{sum.total + part.total, sum.count + part.count};
  }
  return sum;
}

// Compute the means of all levels; each level adds the sums of the level before.
std::vector<Volume> float_means(const Volume& input, const Pooling& pooling) {
  std::vector<Sum> sums;
  for (u64 voxel : input.voxels) {
    // -0.0 is the only number that changes no sum.
    const bool ignored = is_ignored(input.dtype, voxel, pooling);
    sums.push_back(ignored ? Sum{-0.0, 0} : Sum{float_of(input.dtype, voxel), 1});
  }
  std::vector<Volume> levels;
  LevelBox fine{pooling.voxel_offset, input.shape};
  for (const Shape& factor : pooling.factors) {
    const LevelBox coarse = coarser(fine, factor);
    const std::vector<i128> wide_factor(factor.begin(), factor.end());
    std::vector<Sum> coarse_sums;
    Volume level{input.dtype, coarse.shape, {}};
    Shape first(factor.size()), end(factor.size()), scratch(factor.size());
    for_each_position(coarse.shape, [&](const Shape& position) {
      find_footprint(fine, coarse, wide_factor, position, &first, &end);
      const Sum sum = sum_of_box(sums, fine.shape, factor.size(), &scratch, first, end);
      coarse_sums.push_back(sum);
      level.voxels.push_back(sum.count == 0 ? canonical(input.dtype, pooling.ignore)
                                            : bits_of_float(input.dtype, sum.total / static_cast<double>(sum.count)));
    });
    levels.push_back(level);
    sums = coarse_sums;
    fine = coarse;
  }
  return levels;
}

}  // namespace

LevelBox coarser(const LevelBox& level, const Shape& factor) {
  LevelBox coarse = level;
  for (std::size_t axis = 0; axis < factor.size(); ++axis) {
    const i128 begin = level.voxel_offset[axis], end = begin + level.shape[axis];
    const i128 first = floor_divide(begin, factor[axis]), last = floor_divide(end - 1, factor[axis]);
    coarse.voxel_offset[axis] = static_cast<i64>(first);
    coarse.shape[axis] = level.shape[axis] == 0 ? 0 : static_cast<i64>(last - first + 1);
  }
  return coarse;
}

std::vector<LevelBox> coarser_levels(const LevelBox& input, const std::vector<Shape>& factors) {
  std::vector<LevelBox> levels;
  for (const Shape& factor : factors) levels.push_back(coarser(levels.empty() ? input : levels.back(), factor));
  return levels;
}

std::vector<Volume> expected_levels(const Volume& input, const Pooling& pooling) {
  if (pooling.method == Method::mean && is_float(input.dtype)) return float_means(input, pooling);
  const std::size_t ndim = input.shape.size();
  const LevelBox base{pooling.voxel_offset, input.shape};
  const std::vector<LevelBox> boxes = coarser_levels(base, pooling.factors);
  std::vector<i128> factor(ndim, 1);  // cumulative factor from the input to the level
  std::vector<Volume> levels;
  for (std::size_t k = 0; k < boxes.size(); ++k) {
    // Limited to 2**62, so that products with it fit 128 bits; from this value on a footprint exceeds every array.
    for (std::size_t axis = 0; axis < ndim; ++axis)
      factor[axis] = std::min<i128>(factor[axis] * pooling.factors[k][axis], static_cast<i128>(1) << 62);
    Volume level{input.dtype, boxes[k].shape, {}};
    Shape first(ndim), end(ndim);
    for_each_position(boxes[k].shape, [&](const Shape& position) {
      find_footprint(base, boxes[k], factor, position, &first, &end);
      std::vector<u64> footprint;
      for_each_position(first, end,
                        [&](const Shape& at) { footprint.push_back(input.voxels[index_in(input.shape, at)]); });
      level.voxels.push_back(pooled_voxel(input.dtype, footprint, pooling));
    });
    levels.push_back(level);
  }
  return levels;
}

}  // namespace tinypyr_tests
