#include "sampling_oracle.hpp"

#include <algorithm>
#include <cmath>

#include "voxels.hpp"

namespace tinypyr_tests {

namespace {

double modulo(double a, double b) { return a - std::floor(a / b) * b; }

// Map coordinate x to the coordinate inside an axis of n voxels that has the same value. For boundary modes that extend
// the array by voxels, return x unchanged; source_voxel() maps their voxels.
double folded(BoundaryMode mode, double x, double n) {
  const double last = n - 1;
  if (x >= 0 && x <= last) return x;
  switch (mode) {
    case BoundaryMode::mirror: {
      if (n == 1) return 0;
      const double at = modulo(std::abs(x), 2 * last);
      return at >= (x < 0 ? last : n) ? 2 * last - at : at;
    }
    case BoundaryMode::reflect: {
      const double at = modulo(std::abs(x + 0.5), 2 * n);
      return (at > n ? 2 * n - at : at) - 0.5;
    }
    case BoundaryMode::wrap:
      if (n == 1) return 0;
      return x < 0 ? last - modulo(-x, last) : modulo(x, last);
    case BoundaryMode::grid_wrap:
      return modulo(x, n);
    case BoundaryMode::nearest:
    case BoundaryMode::border:
      return std::clamp(x, 0.0, last);
    default:
      return x;
  }
}

// Return the index of the voxel that supplies the value of voxel `index` of an axis of n voxels, or -1 for the fill
// value.
i64 source_voxel(BoundaryMode mode, i64 index, i64 n) {
  if (index >= 0 && index < n) return index;
  if (mode == BoundaryMode::grid_constant) return -1;
  if (mode == BoundaryMode::nearest || mode == BoundaryMode::border || n == 1) return index < 0 ? 0 : n - 1;
  const auto remainder = [&](i64 period) { return (index % period + period) % period; };
  if (mode == BoundaryMode::grid_wrap) return remainder(n);
  const bool repeats_edge = mode == BoundaryMode::reflect;
  const i64 at = remainder(repeats_edge ? 2 * n : 2 * n - 2);
  if (at < n) return at;
  return repeats_edge ? 2 * n - 1 - at : 2 * n - 2 - at;
}

// The voxel at or before a coordinate along one axis, and the weight of the voxel after it.
struct AxisPosition {
  i64 index;
  double fraction;
};

AxisPosition axis_position(const Interpolation& interpolation, double x, i64 n) {
  const BoundaryMode mode = interpolation.boundary_mode;
  const double at = folded(mode, x, static_cast<double>(n));
  double index = std::floor(interpolation.order == 0 ? at + 0.5 : at);
  // At the last voxel these modes interpolate from the voxel before, so that no voxel outside is needed.
  const bool from_inside = mode == BoundaryMode::constant || mode == BoundaryMode::mirror || mode == BoundaryMode::wrap;
  if (interpolation.order == 1 && from_inside && at <= static_cast<double>(n - 1))
    index = std::min(index, static_cast<double>(std::max<i64>(n - 2, 0)));
  return {static_cast<i64>(index), at - index};
}

// Return true if the boundary mode returns the fill value alone, without the value of any voxel. NaN is such a
// coordinate.
bool is_filled(BoundaryMode mode, const Shape& shape, const double* coordinate) {
  if (mode != BoundaryMode::constant && mode != BoundaryMode::border) return false;
  const double margin = mode == BoundaryMode::border ? 0.5 : 0;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const double last = static_cast<double>(shape[axis] - 1);
    if (!(coordinate[axis] >= -margin && coordinate[axis] <= last + margin)) return true;
  }
  return false;
}

}  // namespace

Interpolated interpolate(const Interpolation& interpolation, const double* coordinate) {
  const Volume& whole = interpolation.whole;
  const std::size_t ndim = whole.shape.size();
  if (is_filled(interpolation.boundary_mode, whole.shape, coordinate))
    return {interpolation.fill, interpolation.fill_bits, false};
  std::vector<AxisPosition> positions;
  for (std::size_t axis = 0; axis < ndim; ++axis)
    positions.push_back(axis_position(interpolation, coordinate[axis], whole.shape[axis]));
  Interpolated result;
  for (int corner = 0; corner < 1 << (interpolation.order == 0 ? 0 : ndim); ++corner) {
    double weight = 1;
    bool is_fill = false;
    Shape source(ndim);
    for (std::size_t axis = 0; axis < ndim; ++axis) {
      const i64 n = whole.shape[axis];
      const int upper = corner >> axis & 1;
      weight *= upper ? positions[axis].fraction : 1 - positions[axis].fraction;
      source[axis] = source_voxel(interpolation.boundary_mode, positions[axis].index + upper, n);
      if (source[axis] < 0)
        is_fill = true;
      else if ((source[axis] - interpolation.part_first[axis] + n) % n >= interpolation.part_shape[axis])
        result.outside_part = true;
    }
    result.bits = is_fill ? interpolation.fill_bits : whole.voxels[index_in(whole.shape, source)];
    result.value += weight * (is_fill ? interpolation.fill : double_of(whole.dtype, result.bits));
  }
  return result;
}

u64 combined(Operation operation, Dtype dtype, u64 voxel, double value, Dtype output_dtype) {
  if (operation == operation_mask) return value >= 0.5 ? voxel : 0;
  const double number = double_of(dtype, voxel);
  double result = number;
  if (operation == Operation::divide && value != 0) result = number / value;
  if (operation == Operation::multiply) result = number * value;
  if (operation == Operation::subtract) result = number - value;
  if (is_float(output_dtype)) return bits_of_float(output_dtype, result);
  const double rounded = std::nearbyint(result);  // half to even, the default of the floating-point environment
  if (is_boolean(output_dtype)) return rounded >= 1;
  if (std::isnan(result)) return 0;
  const int value_bits = 8 * width_of(output_dtype) - (is_signed(output_dtype) ? 1 : 0);
  const i128 most = (static_cast<i128>(1) << value_bits) - 1, least = is_signed(output_dtype) ? -most - 1 : 0;
  if (rounded >= std::ldexp(1.0, value_bits)) return bits_of_integer(output_dtype, most);
  if (rounded <= static_cast<double>(least)) return bits_of_integer(output_dtype, least);
  return bits_of_integer(output_dtype, static_cast<i128>(rounded));
}

}  // namespace tinypyr_tests
