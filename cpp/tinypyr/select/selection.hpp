// mode, median and stride: levels from all voxels of a footprint at once.
//
// Every level is made from the base. An axis falls into at most three segments (a cut first block, whole blocks, a cut
// last block); in a box of segments all footprints have the same shape. Small footprints are laid out as planes, one
// row per position in the footprint, so that the kernels see plain rows. Large footprints are gathered voxel by voxel.
#pragma once

#include <algorithm>

#include "../core/problem.hpp"
#include "../reduce/small_footprints.hpp"
#include "radix_select.hpp"

namespace tinypyr {

constexpr int max_planes = 32;

class SelectionDriver {
 public:
  explicit SelectionDriver(const Options& options) : options_(options) {}

  Status run(const Problem& problem, u64 ignore) {
    problem_ = &problem;
    const Codec& codec = problem.codec;
    how_ = {options_.has_ignore, false, ignore, 0, nullptr};
    if (options_.method == Method::median && codec.kind == Kind::floating) {
      // NaN as the encoder leaves it, after the ignored key has been moved to the top
      how_.has_nan = !(options_.has_ignore && codec.remapped == codec.nan_key());
      how_.nan = codec.nan_key() - (codec.remap == IgnoreRemap::to_top ? 1 : 0);
    }
    small_footprints_ =
        options_.method == Method::mode || (options_.method == Method::median && !how_.has_ignore && !how_.has_nan);
    SmallFootprints halves(kernel().small, true, ignore);
    for (int k = 0; k < problem.levels; ++k) {
      level_ = &problem.level[k];
      const Status status = k == 0 && small_footprints_ && halves.fits(problem)
                                ? halves.run(problem)
                                : boxes(problem.ndim - 1, problem.in, level_->out);
      if (status != Status::ok) return status;
    }
    return Status::ok;
  }

 private:
  Status boxes(int axis, const char* in, char* out) {
    const Problem& p = *problem_;
    if (axis < 0) return box(in, out);
    Segment segment[3];
    const int found = p.segments(*level_, axis, segment);
    for (int i = 0; i < found; ++i) {
      const i64 start = (level_->voxel_offset[axis] + segment[i].first) * level_->total[axis];
      blocks_[axis] = segment[i].count;
      size_[axis] = segment[i].present;
      const Status status = boxes(axis - 1, in + p.base_index(axis, start) * p.stride[axis],
                                  out + segment[i].first * level_->stride[axis]);
      if (status != Status::ok) return status;
    }
    return Status::ok;
  }

  // blocks_ footprints of size_ voxels along each axis.
  Status box(const char* in, char* out) {
    const Problem& p = *problem_;
    i64 count = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      count *= size_[axis];
      step_[axis] = size_[axis] * p.stride[axis];
    }
    if (options_.method == Method::stride && !options_.has_ignore) {
      copy_first(in, out);
      return Status::ok;
    }
    return count <= max_planes ? rows(in, out, static_cast<int>(count)) : one_by_one(in, out, count);
  }

  // Visit all positions of the axes from `first` on, `chunk` positions of axis `first` at a time.
  template <class Visit>
  void each_row(int first, i64 chunk, const char* in, char* out, Visit visit) {
    const Problem& p = *problem_;
    i64 index[max_ndim] = {};
    for (;;) {
      visit(in, out, index);
      int axis = first;
      for (; axis < p.ndim; ++axis) {
        const i64 move = axis == first ? chunk : 1;
        index[axis] += move;
        if (index[axis] < blocks_[axis]) {
          in += move * step_[axis];
          out += move * level_->stride[axis];
          break;
        }
        in -= (index[axis] - move) * step_[axis];
        out -= (index[axis] - move) * level_->stride[axis];
        index[axis] = 0;
      }
      if (axis >= p.ndim) return;
    }
  }

  void copy_first(const char* in, char* out) {
    const Problem& p = *problem_;
    // Rows are skipped, which hides the pattern from the hardware: ask for those a few rows on, and for what is skipped
    // between them, because memory is read faster in sequence (by a third here) than in every other row.
    const i64 step = p.ndim > 1 ? step_[1] : 0, bytes = p.stride[0] == p.codec.width ? blocks_[0] * step_[0] : 0;
    const i64 ahead = step == 0 ? 0 : step * ceil_div(fetch_distance, std::abs(step));
    const i64 fetched = step > bytes && step <= 2 * bytes ? step : bytes;
    each_row(1, 1, in, out, [&](const char* from, char* to, const i64*) {
      if (bytes <= longest_fetched_row) prefetch(from + ahead, fetched);
      p.rows().copy(to, level_->stride[0], from, step_[0], blocks_[0]);
    });
  }

  // Visit the voxels of a footprint in raster order, the caller's axis 0 fastest.
  template <class Visit>
  void each_voxel(const char* in, Visit visit) {
    const Problem& p = *problem_;
    int order[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) order[axis] = axis;
    std::sort(order, order + p.ndim, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    i64 index[max_ndim] = {};
    for (;;) {
      visit(in, index);
      int i = 0;
      for (; i < p.ndim; ++i) {
        const int axis = order[i];
        in += p.stride[axis];
        if (++index[axis] < size_[axis]) break;
        in -= size_[axis] * p.stride[axis];
        index[axis] = 0;
      }
      if (i >= p.ndim) return;
    }
  }

  const SelectKernels& kernel() const {
    const RowKernels& kernels = problem_->rows();
    if (options_.method == Method::mode) return kernels.mode[options_.ties == Ties::lowest][options_.has_ignore];
    if (options_.method == Method::median) return kernels.median;
    return kernels.first[problem_->codec.kind == Kind::floating];
  }

  Status rows(const char* in, char* out, int count) {
    const Problem& p = *problem_;
    const i64 width = p.codec.width;
    const i64 longest = std::max<i64>(64, 32768 / (count * width));
    int axes = 0;
    i64 length = 1, chunk = 1;
    for (; axes < p.ndim; ++axes) {
      chunk = std::min(blocks_[axes], std::max<i64>(1, longest / length));
      length *= chunk;
      if (chunk < blocks_[axes]) {
        ++axes;
        break;
      }
    }
    // the planes, the row made of them, and room for the kernel
    if (!memory_.reserve((2 * i64{count} + 3) * round_up(length * width))) return Status::out_of_memory;
    char* plane_rows = memory_.data();
    char* made = plane_rows + count * round_up(length * width);
    how_.scratch = made + round_up(length * width);
    const PoolFootprints small = small_footprints_ ? kernel().small.of(count, -1) : nullptr;
    each_row(axes - 1, chunk, in, out, [&](const char* from, char* to, const i64* index) {
      i64 extent[max_ndim];
      i64 n = 1;
      for (int axis = 0; axis < axes; ++axis) {
        extent[axis] = axis == axes - 1 ? std::min(chunk, blocks_[axis] - index[axis]) : blocks_[axis];
        n *= extent[axis];
      }
      const bool direct = p.codec.is_identity() && is_contiguous(axes, extent, step_, width);
      const void* planes[max_planes];
      int plane = 0;
      each_voxel(from, [&](const char* voxel, const i64*) {
        char* row = plane_rows + plane * n * width;
        planes[plane++] = direct && is_aligned(voxel, p.codec.width) ? voxel : row;
        if (planes[plane - 1] != voxel) box_to_row(p.rows(), p.codec.width, row, voxel, axes, extent, step_);
      });
      if (!p.codec.is_identity()) p.rows().encode(plane_rows, plane_rows, count * n, p.codec);
      const bool made_in_place =
          p.codec.is_identity() && is_contiguous(axes, extent, level_->stride, width) && is_aligned(to, p.codec.width);
      char* row = made_in_place ? to : made;
      if (small)
        small({planes, n, 1, 0, 0, row, nullptr, 0, how_.ignore, 0, 0, false});
      else
        kernel().planes(planes, count, n, row, how_);
      if (made_in_place) return;
      p.rows().decode(row, n, p.codec);
      row_to_box(p.rows(), p.codec.width, row, to, axes, extent, level_->stride);
    });
    return Status::ok;
  }

  Status one_by_one(const char* in, char* out, i64 count) {
    return with_unsigned(problem_->codec.width, [&](auto u) { return one_by_one_of<decltype(u)>(in, out, count); });
  }

  template <class U>
  Status one_by_one_of(const char* in, char* out, i64 count) {
    const Problem& p = *problem_;
    const i64 most = most_held / static_cast<i64>(sizeof(U));
    const bool held = options_.method != Method::stride && 2 * count <= most;
    if (!memory_.reserve(held ? 2 * count * static_cast<i64>(sizeof(U)) : most_held)) return Status::out_of_memory;
    U* keys = reinterpret_cast<U*>(memory_.data());
    each_row(0, 1, in, out, [&](const char* from, char* to, const i64*) {
      U chosen;
      if (held) {
        i64 filled = 0;
        each_voxel(from, [&](const char* voxel, const i64*) { std::memcpy(keys + filled++, voxel, sizeof(U)); });
        p.rows().encode(keys, keys, count, p.codec);
        chosen = choose_one(keys, keys + count, count);
      } else {
        chosen = sweep(from, keys, most);
      }
      p.rows().decode(&chosen, 1, p.codec);
      std::memcpy(to, &chosen, sizeof(U));
    });
    return Status::ok;
  }

  // The same of a footprint that is not held at once: too large, or only its first voxel is wanted.
  template <class U>
  U sweep(const char* from, U* memory, i64 room) {
    const auto each_key = [&](auto visit) {
      U keys[512];
      i64 filled = 0;
      const auto visit_all = [&] {
        problem_->rows().encode(keys, keys, filled, problem_->codec);
        std::for_each(keys, keys + filled, visit);
        filled = 0;
      };
      each_voxel(from, [&](const char* voxel, const i64*) {
        std::memcpy(keys + filled, voxel, sizeof(U));
        if (++filled == 512) visit_all();
      });
      visit_all();
    };
    RadixSelect<U, decltype(each_key)> sweeps(each_key, how_);
    if (options_.method == Method::median) return sweeps.median();
    if (options_.method == Method::mode) return sweeps.mode(options_.ties, memory, room);
    Codec equality = problem_->codec;  // of a stride, voxels are here as they are
    equality.encoding = Encoding::canonical;
    const U ignore = static_cast<U>(how_.ignore);
    U first = ignore;
    bool searching = true;
    each_key([&](U voxel) {
      if (!searching || static_cast<U>(equality.key(voxel)) == ignore) return;
      first = voxel;
      searching = false;
    });
    return first;
  }

  template <class U>
  U choose_one(const U* keys, U* sorted, i64 count) const {
    const U ignore = static_cast<U>(how_.ignore);
    if (std::all_of(keys + 1, keys + count, [&](U key) { return key == keys[0]; })) return keys[0];
    if (options_.method == Method::median) {
      if (how_.has_nan && std::find(keys, keys + count, static_cast<U>(how_.nan)) != keys + count)
        return static_cast<U>(how_.nan);
      const U left_out = static_cast<U>(~U{0});
      U* end = how_.has_ignore ? std::remove_copy(keys, keys + count, sorted, left_out)
                               : std::copy(keys, keys + count, sorted);
      if (end == sorted) return left_out;
      U* middle = sorted + (end - sorted - 1) / 2;
      std::nth_element(sorted, middle, end);
      return *middle;
    }
    U* end =
        how_.has_ignore ? std::remove_copy(keys, keys + count, sorted, ignore) : std::copy(keys, keys + count, sorted);
    if (end == sorted) return ignore;
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
    // the first voxel whose label has the most votes
    const U* first = std::find_if(keys, keys + count, [&](U key) {
      if (how_.has_ignore && key == ignore) return false;
      const auto run = std::equal_range(sorted, end, key);
      return run.second - run.first == most;
    });
    return *first;
  }

  static constexpr i64 fetch_distance = 4096, longest_fetched_row = 4096;  // bytes
  static constexpr i64 most_held = i64{4} << 20;                           // bytes of a footprint, twice

  const Options& options_;
  const Problem* problem_ = nullptr;
  const Level* level_ = nullptr;
  SelectParams how_ = {};
  bool small_footprints_ = false;  // a loop for few voxels gives the answer, whatever is left out
  i64 blocks_[max_ndim], size_[max_ndim], step_[max_ndim];
  Arena memory_;
};

}  // namespace tinypyr
