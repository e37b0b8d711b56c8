// The sampled array and the parameters of sampling: the checked arguments of a call, which the sampler's strategies
// share.
#pragma once

#include <cstring>

#include "../core/view.hpp"
#include "boundary.hpp"
#include "kernels.hpp"

namespace tinypyr {

// Call check before anything else; afterwards the source does not change.
class SampleSource {
 public:
  SampleSource(const View& input, const Sampling& sampling, const SampleKernels& table)
      : in(input), how(sampling), kernels(table), boundary(sampling.boundary_mode, sampling.order) {}

  // Check the arguments, and fill in the rest. Only the dtype of out matters.
  Status check(const View& out) {
    ndim = in.ndim;
    if (ndim < 1 || how.order < 0 || how.order > max_order || in.swapped || out.swapped) return Status::bad_view;
    if (how.order == 0 ? out.dtype != in.dtype : how.order > 1 && in.dtype != Dtype::float64) return Status::bad_out;
    width = row(in.dtype).width;
    out_dtype = out.dtype;
    out_width = row(out.dtype).width;
    has_loops = ndim <= 3;
    for (int h = 0; h < ndim; ++h) {
      SampleAxis& axis = axes[h];
      axis.extent = how.extent[h];
      axis.first = how.first[h];
      axis.count = in.shape[h];
      axis.stride = in.strides[h];
      if (axis.extent < 1 || axis.extent > max_extent || axis.first < 0 || axis.first >= axis.extent ||
          axis.count > axis.extent)
        return Status::bad_view;
      boundary.describe(axis);
      has_loops = has_loops && (how.order < 2 || h < ndim - 1 || axis.stride == 8);
    }
    has_loops = has_loops || how.order == 0;  // in any dimension
    for (int p = 0; p < 4; ++p) {
      corner[p] = 0;
      for (int bit = 0; bit < ndim - 1 && bit < 2; ++bit)
        if (p >> bit & 1) corner[p] += axes[ndim - 2 - bit].step;
    }
    return Status::ok;
  }

  // Compute the values of plain points from their offsets and fractions (rows of `strip` numbers).
  void make_plain(const i64* offset, const double* fraction, i64 n, char* to, i64 to_stride) const {
    if (how.order == 0) return nearest(in.data, offset, n, to, to_stride);
    double value[strip];
    double* const values = direct(to, to_stride, value);
    if (how.order == 1)
      linear(ndim, in.data, offset, fraction, n, values);
    else
      kernels.spline[how.order - 2][ndim - 1](in.data, offset, fraction, axes, n, values);
    if (values == value) store(value, n, to, to_stride);
  }

  TINYPYR_INLINE void nearest(const char* from, const i64* offset, i64 n, char* to, i64 to_stride) const {
    kernels.nearest[width_index(width)](from, offset, n, to, to_stride);
  }

  // Interpolate along the last `along` axes.
  TINYPYR_INLINE void linear(int along, const char* from, const i64* offset, const double* fraction, i64 n,
                             double* to) const {
    kernels.linear[static_cast<int>(in.dtype)][along - 1](from, offset, fraction, corner, axes[ndim - 1].step, n, to);
  }

  TINYPYR_INLINE void store(const double* values, i64 n, char* to, i64 to_stride) const {
    kernels.store[static_cast<int>(out_dtype)](values, n, to, to_stride);
  }

  // Return the output itself if it is a contiguous row of doubles; otherwise `buffer`, whose values must be stored.
  TINYPYR_INLINE double* direct(char* to, i64 to_stride, double* buffer) const {
    const bool fits = out_dtype == Dtype::float64 && to_stride == 8 && reinterpret_cast<std::uintptr_t>(to) % 8 == 0;
    return fits ? reinterpret_cast<double*>(to) : buffer;
  }

  void fill(char* to) const { std::memcpy(to, &how.fill_bits, static_cast<std::size_t>(out_width)); }

  const View& in;
  const Sampling& how;
  const SampleKernels& kernels;
  const Boundary boundary;
  int ndim = 0, width = 0, out_width = 0;
  Dtype out_dtype = Dtype::uint8;
  bool has_loops = false;  // plain points have loops; otherwise they are computed one by one, too
  SampleAxis axes[max_ndim] = {};
  i64 corner[4] = {};  // bytes to the pairs of neighbours along the last axis
};

}  // namespace tinypyr
