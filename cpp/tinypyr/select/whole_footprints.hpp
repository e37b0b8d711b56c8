// mode, median and stride of one footprint at a time, for footprints with too many voxels to be laid out as rows.
// Footprints of up to 2 MiB are copied; larger ones are read several times (select/radix_select.hpp).
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/problem.hpp"
#include "../tinypyr.hpp"
#include "radix_select.hpp"

namespace tinypyr {

// Set the order of axes from the fastest in raster order on: the caller's axis 0 first.
inline void raster_order(const Problem& p, int* order) {
  for (int axis = 0; axis < p.ndim; ++axis) order[axis] = axis;
  std::sort(order, order + p.ndim, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
}

// Call visit(voxel) for the voxels of a footprint of these extents, in raster order.
template <class Visit>
inline void each_voxel(const Problem& p, const char* in, const i64* size, Visit visit) {
  int order[max_ndim];
  raster_order(p, order);
  i64 index[max_ndim];
  const IndexRange voxels{AxisList{order, p.ndim}, size};
  voxels.start(index);
  do visit(in);
  while (voxels.next(index, [&](int axis, i64 n) { in += n * p.stride[axis]; }));
}

// Selects from one footprint of `count` voxels of type U. Order of calls: allocate, then select for every footprint.
template <class U>
class WholeFootprint {
 public:
  WholeFootprint(const Problem& problem, const Options& options, const SelectParams& params, const i64* size, i64 count)
      : problem_(problem),
        options_(options),
        params_(params),
        size_(size),
        count_(count),
        ignore_(static_cast<U>(params.ignore)) {}

  bool allocate(Arena& memory) {
    const i64 width = sizeof(U), most = most_held / width;
    is_held_ = options_.method != Method::stride && 2 * count_ <= most;
    // (A part of the footprint bounds the number of passes that find a mode among many labels.)
    const bool has_many_labels = options_.method == Method::mode && width > 2;
    room_ = is_held_ ? 2 * count_ : has_many_labels ? std::max(most, count_ / 8) : most;
    if (!memory.reserve((room_ + 1) * width)) {
      if (room_ <= most) return false;
      room_ = most;
      if (!memory.reserve((room_ + 1) * width)) return false;
    }
    keys_ = reinterpret_cast<U*>(memory.data());
    return true;
  }

  // Return the output voxel for the footprint at this address.
  U select(const char* from) {
    U key = is_held_ ? select_held(from) : select_read_again(from);
    problem_.rows().decode(&key, 1, problem_.codec);
    return key;
  }

 private:
  static constexpr i64 most_held = i64{4} << 20;  // bytes of the keys of a footprint, which are stored twice

  U select_held(const char* from) {
    problem_.report(count_ * static_cast<i64>(sizeof(U)));
    i64 filled = 0;
    each_voxel(problem_, from, size_, [&](const char* voxel) { std::memcpy(keys_ + filled++, voxel, sizeof(U)); });
    problem_.rows().encode(keys_, keys_, count_, problem_.codec);
    if (std::all_of(keys_ + 1, keys_ + count_, [&](U key) { return key == keys_[0]; })) return keys_[0];
    return options_.method == Method::median ? median() : mode();
  }

  // Copy the keys that count to the memory after all keys, and return their end.
  U* copy_kept(U left_out) {
    U* const kept = keys_ + count_;
    return params_.has_ignore ? std::remove_copy(keys_, kept, kept, left_out) : std::copy(keys_, kept, kept);
  }

  U median() {
    const U nan = static_cast<U>(params_.nan), left_out = static_cast<U>(~U{0});
    U* const kept = keys_ + count_;
    if (params_.has_nan && std::find(keys_, kept, nan) != kept) return nan;
    U* const end = copy_kept(left_out);
    if (end == kept) return left_out;
    U* const middle = kept + (end - kept - 1) / 2;
    std::nth_element(kept, middle, end);
    return *middle;
  }

  U mode() {
    U *const sorted = keys_ + count_, *const end = copy_kept(ignore_);
    if (end == sorted) return ignore_;
    std::sort(sorted, end);
    i64 most = 0;
    U best = 0;
    int winners = 0;
    each_label(sorted, end, [&](U key, i64 votes) {
      winners = votes > most ? 1 : winners + (votes == most);
      best = votes > most ? key : best;
      most = std::max(most, votes);
    });
    if (winners == 1 || options_.ties == Ties::lowest) return best;
    // Return the first voxel whose label has the most votes.
    return *std::find_if(keys_, keys_ + count_, [&](U key) {
      if (params_.has_ignore && key == ignore_) return false;
      const auto run = std::equal_range(sorted, end, key);
      return run.second - run.first == most;
    });
  }

  // Select from a footprint that is too large to be copied, or return its first voxel, for which no copy is needed.
  U select_read_again(const char* from) {
    const auto each = [&](auto visit) { each_key(from, visit); };
    const auto in_order = [&](auto visit) { each_key_in_order(from, visit); };
    if (options_.method == Method::stride) return first_kept(in_order);
    RadixSelect<U, decltype(each), decltype(in_order)> radix_select(each, in_order, params_);
    if (options_.method == Method::median) return radix_select.median();
    return radix_select.mode(options_.ties, keys_, room_);
  }

  static constexpr i64 some = 512;  // keys that are encoded at a time

  // Call visit(key) for all voxels, in order of memory.
  template <class Visit>
  void each_key(const char* from, Visit visit) const {
    bool in_place = problem_.codec.is_identity() && problem_.stride[0] == static_cast<i64>(sizeof(U)) &&
                    is_aligned(from, sizeof(U));
    for (int axis = 1; axis < problem_.ndim; ++axis)
      in_place = in_place && problem_.stride[axis] % static_cast<i64>(sizeof(U)) == 0;
    in_place ? each_key_in_place(from, visit) : each_key_encoded(from, visit);
  }

  template <class Visit>
  void each_key_in_place(const char* from, Visit visit) const {
    constexpr i64 piece = i64{1} << 15;
    // (each_run takes a mutable pointer, but the footprint is only read.)
    each_run(const_cast<char*>(from), problem_.ndim, size_, problem_.stride, [&](const char* run) {
      const U* const keys = reinterpret_cast<const U*>(run);
      for (i64 first = 0; first < size_[0]; first += piece) {
        const i64 end = std::min(first + piece, size_[0]);
        problem_.report((end - first) * static_cast<i64>(sizeof(U)));
        for (i64 i = first; i < end; ++i) visit(keys[i]);
      }
    });
  }

  template <class Visit>
  void each_key_encoded(const char* from, Visit visit) const {
    constexpr i64 width = sizeof(U);
    U keys[some];
    i64 filled = 0;
    const auto visit_all = [&] {
      problem_.report(filled * width);
      problem_.rows().encode(keys, keys, filled, problem_.codec);
      for (i64 i = 0; i < filled; ++i) visit(keys[i]);
      filled = 0;
    };
    each_run(const_cast<char*>(from), problem_.ndim, size_, problem_.stride, [&](const char* run) {
      for (i64 first = 0; first < size_[0];) {
        const i64 n = std::min(some - filled, size_[0] - first);
        problem_.rows().copy(reinterpret_cast<char*>(keys + filled), width, run + first * problem_.stride[0],
                             problem_.stride[0], n);
        first += n;
        filled += n;
        if (filled == some) visit_all();
      }
    });
    visit_all();
  }

  // Call visit(key) for the voxels in raster order, until it returns false.
  template <class Visit>
  void each_key_in_order(const char* from, Visit visit) const {
    constexpr i64 width = sizeof(U);
    int order[max_ndim];
    raster_order(problem_, order);
    const IndexRange voxels{AxisList{order, problem_.ndim}, size_};
    i64 index[max_ndim];
    voxels.start(index);
    const auto move = [&](int axis, i64 n) { from += n * problem_.stride[axis]; };
    for (bool has_more = true; has_more;) {
      U keys[some];
      i64 filled = 0;
      for (; filled < some && has_more; has_more = voxels.next(index, move))
        std::memcpy(keys + filled++, from, sizeof(U));
      problem_.report(filled * width);
      problem_.rows().encode(keys, keys, filled, problem_.codec);
      for (i64 i = 0; i < filled; ++i)
        if (!visit(keys[i])) return;
    }
  }

  // Return the first voxel that is not ignored. Voxels are not converted, and are compared in canonical encoding.
  template <class InOrder>
  U first_kept(InOrder in_order) const {
    Codec equality = problem_.codec;
    equality.encoding = Encoding::canonical;
    U first = ignore_;
    in_order([&](U voxel) {
      const bool is_kept = static_cast<U>(equality.key(voxel)) != ignore_;
      if (is_kept) first = voxel;
      return !is_kept;
    });
    return first;
  }

  const Problem& problem_;
  const Options& options_;
  const SelectParams& params_;
  const i64* const size_;  // of the footprint, along each axis
  const i64 count_;
  const U ignore_;
  bool is_held_ = false;
  U* keys_ = nullptr;
  i64 room_ = 0;
};

}  // namespace tinypyr
