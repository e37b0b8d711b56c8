// mode, median and stride of one footprint at a time, for footprints with too many voxels to be laid out as rows.
// Footprints of up to 4 MiB are copied; larger ones are read several times (select/radix_select.hpp).
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
    room_ = is_held_ ? 2 * count_ : most;
    if (!memory.reserve(room_ * width)) return false;
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
    const auto each_key = [&](auto visit) {
      constexpr i64 some = 512;
      U keys[some];
      i64 filled = 0;
      const auto visit_all = [&] {
        problem_.rows().encode(keys, keys, filled, problem_.codec);
        std::for_each(keys, keys + filled, visit);
        filled = 0;
      };
      each_voxel(problem_, from, size_, [&](const char* voxel) {
        std::memcpy(keys + filled, voxel, sizeof(U));
        if (++filled == some) visit_all();
      });
      visit_all();
    };
    RadixSelect<U, decltype(each_key)> radix_select(each_key, params_);
    if (options_.method == Method::median) return radix_select.median();
    if (options_.method == Method::mode) return radix_select.mode(options_.ties, keys_, room_);
    return first_kept(each_key);
  }

  // Return the first voxel that is not ignored. Voxels are not converted, and are compared in canonical encoding.
  template <class Each>
  U first_kept(Each each_key) const {
    Codec equality = problem_.codec;
    equality.encoding = Encoding::canonical;
    U first = ignore_;
    bool searching = true;
    each_key([&](U voxel) {
      if (!searching || static_cast<U>(equality.key(voxel)) == ignore_) return;
      first = voxel;
      searching = false;
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
