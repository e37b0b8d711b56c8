// Prefetching of a box of memory, a few lines at a time and in order of addresses.
#pragma once

#include <algorithm>

#include "index.hpp"
#include "prefetch.hpp"
#include "problem.hpp"

namespace tinypyr {

// Order of calls: start; repeat for each further axis, fastest first; then some, repeatedly, until the whole box has
// been requested or stop is called. Before the first start, some has no effect.
class Fetcher {
 public:
  // Begin a box that consists of one row of this many bytes.
  void start(const char* from, i64 bytes) {
    from_ = from;
    bytes_ = bytes;
    done_ = 0;
    axes_ = 0;
  }

  // Repeat the box along one more axis.
  void repeat(i64 times, i64 stride) {
    if (times <= 1) return;
    if (axes_ == 0 && stride == bytes_) {  // the rows are contiguous, so they form one longer row
      bytes_ *= times;
      return;
    }
    extent_[axes_] = times;
    stride_[axes_] = stride;
    index_[axes_++] = 0;
  }

  // Set the box to the input of a problem.
  void start(const Problem& p) {
    start(p.in, p.extent[0] * p.stride[0]);
    for (int axis = 1; axis < p.ndim; ++axis) repeat(p.extent[axis], p.stride[axis]);
  }

  void stop() { bytes_ = 0; }

  // Request this many further bytes: into the first-level cache, or into the second-level cache for later use.
  template <int cache>
  void some(i64 wanted) {
    while (wanted > 0 && bytes_ > 0) {
      const i64 now = std::min(wanted, bytes_ - done_);
      cache == 1 ? prefetch(from_ + done_, now) : prefetch_to_second(from_ + done_, now);
      done_ += now;
      wanted -= now;
      if (done_ < bytes_) return;
      done_ = 0;
      const IndexRange rows{AxisRange{0, axes_}, extent_};
      if (!rows.next(index_, [&](int axis, i64 n) { from_ += n * stride_[axis]; })) stop();
    }
  }

 private:
  const char* from_ = nullptr;
  i64 bytes_ = 0, done_ = 0;  // of the current row
  int axes_ = 0;
  i64 extent_[max_ndim], stride_[max_ndim], index_[max_ndim];
};

}  // namespace tinypyr
