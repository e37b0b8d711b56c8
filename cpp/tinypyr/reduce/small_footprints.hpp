// Rows of small footprints: what is pooled by no more than two along any axis goes from the input to a row of voxels or
// accumulators in one step, each footprint in registers (kernels/footprints.inl).
//
// The rows that a row of output needs are read side by side, which hardware prefetchers follow badly: what is soon to be
// read is asked for before. Asked for a little at a time, and in order of memory whatever the order of reading, it comes
// twice as fast as side by side or a row in one go.
#pragma once

#include "../core/problem.hpp"

namespace tinypyr {

class SmallFootprints {
 public:
  // In bytes: rows that are asked for before they are read (others the hardware follows), and how far before.
  static constexpr i64 longest_fetched_row = 16384, fetch_distance = 2048;

  // Loops of a choice or (with lanes of so many bytes) a fold; how a voxel is left out, and how integer means are rounded.
  SmallFootprints(const Shapes& shapes, bool ordered, u64 ignore, bool half_even = false, int lane_bytes = 0)
      : shapes_(shapes), ordered_(ordered), ignore_(ignore), half_even_(half_even), lane_bytes_(lane_bytes) {}

  // Whether the first level of this problem can be made so.
  bool fits(const Problem& p) const {
    const Level& level = p.level[0];
    int pooled = 0, earlier = 0;  // axes pooled besides axis 0, and those of them that come earlier in raster order
    for (int axis = 0; axis < p.ndim; ++axis) {
      if (is_pooled(p, axis) && level.total[axis] != 2) return false;
      if (axis > 0 && is_pooled(p, axis)) {
        ++pooled;
        earlier += p.logical[axis] < p.logical[0];
      }
    }
    if (p.extent[0] * p.codec.width < shortest_row) return false;
    return pooled <= 3 && shapes_.of(1 << pooled, is_pooled(p, 0) ? (ordered_ ? earlier : 0) : -1) != nullptr;
  }

  // The whole first level, which is not a fold's accumulator. votes: null, or where to say how many voxels of each footprint are the
  // one made of it (Votes, whose axes have these strides, the first: 1).
  Status run(const Problem& whole, char* votes = nullptr, const i64* vote_stride = nullptr) {
    if (!part_) part_ = Problem::allocate();
    if (!part_) return Status::out_of_memory;
    Problem* const part = part_.get();
    const i64 blocks = whole.level[0].extent[0];
    const i64 chunk = std::min(blocks, longest_copied_row / whole.codec.width);
    for (i64 first = 0; first < blocks;) {
      *part = whole;
      part->levels = 1;
      if (!plan(*part)) return Status::out_of_memory;
      if (!(read_as_is_ && is_direct()) && chunk < blocks) {
        part->restrict_to(0, first, std::min(chunk, blocks - first));
        if (!plan(*part)) return Status::out_of_memory;
      }
      if (!walk(votes == nullptr ? nullptr : votes + first * vote_bytes(whole), vote_stride))
        return Status::out_of_memory;
      first += part->level[0].extent[0];
    }
    return Status::ok;
  }

  // Get ready for rows of this problem, which must outlive them.
  bool plan(const Problem& p) {
    problem_ = &p;
    const Level& level = p.level[0];
    // The sign bit of integers is flipped on the way; anything else that an encoder does needs a row of its own.
    Codec flipped = p.codec;
    flipped.kind = Kind::unsigned_integer;
    const bool flips = p.codec.kind == Kind::signed_integer && !p.codec.keys_are_bits();
    read_as_is_ = (p.codec.is_identity() || (flips && flipped.is_identity())) && p.stride[0] == p.codec.width &&
                  is_aligned(p.in, p.codec.width);
    for (int axis = 1; axis < p.ndim; ++axis) read_as_is_ = read_as_is_ && p.stride[axis] % p.codec.width == 0;
    flip_ = flips && read_as_is_ ? p.codec.top_bit() : 0;
    segment_count_ = p.segments(level, 0, segments_);

    order_count_ = 0;
    for (int axis = 1; axis < p.ndim; ++axis)
      if (is_pooled(p, axis)) order_[order_count_++] = axis;
    std::sort(order_, order_ + order_count_, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    pair_ = 0;
    for (int i = 0; i < order_count_; ++i) pair_ += ordered_ && p.logical[order_[i]] < p.logical[0];
    if (read_as_is_) return true;
    row_bytes_ = round_up(p.extent[0] * p.codec.width);
    return rows_.reserve(row_bytes_ << order_count_);
  }

  // Of memory that the rows of the plan take.
  i64 bytes() const { return read_as_is_ ? 0 : row_bytes_ << order_count_; }

  // How far on in the input, in bytes, to ask for memory, where rows along an axis are made one after the other.
  i64 ahead_along(int axis) const {
    const Problem& p = *problem_;
    if (axis >= p.ndim || p.extent[0] * p.codec.width > longest_fetched_row) return 0;
    const i64 step = p.level[0].total[axis] * p.stride[axis];
    return step * ceil_div(fetch_distance, std::max<i64>(1, std::abs(step)));
  }

  // How many rows from these coordinates on, along axis 1, are made alike, and best at once: a few where they are short.
  i64 alike(const i64* at) const {
    const Problem& p = *problem_;
    if (p.ndim == 1 || !read_as_is_) return 1;
    const Level& level = p.level[0];
    i64 rows = level.extent[1] - at[1];
    if (rows > 1 && p.present(level, 1, level.extent[1] - 1) != level.total[1]) --rows;
    if (p.present(level, 1, at[1]) != level.total[1]) rows = 1;
    return std::min(rows, std::max<i64>(1, most_at_once / (p.extent[0] * p.codec.width << order_count_)));
  }

  // `count` alike rows from these coordinates (axes 1, 2, ... of the first level) on into voxels, `out_step` of them apart;
  // `ahead` bytes further on in the input comes what will be read soon. accumulator: null, or where a fold's lanes go as well, as
  // far apart, `plane` between those of one accumulator; the voxels then are keys, as lanes are made from (core/codec.hpp).
  // votes: as in run, `vote_step` apart.
  void make(const i64* at, i64 count, i64 ahead, char* out, i64 out_step, char* accumulator = nullptr, i64 plane = 0,
            char* votes = nullptr, i64 vote_step = 0) {
    const Problem& p = *problem_;
    const Level& level = p.level[0];
    const char* start = p.in;
    for (int axis = 1; axis < p.ndim; ++axis)
      start += p.base_index(axis, (level.voxel_offset[axis] + at[axis]) * level.total[axis]) * p.stride[axis];
    const char* row[8] = {start};
    int rows = 1, bits = 0, pair = 0;
    for (int i = 0; i < order_count_; ++i) {
      const int axis = order_[i];
      if (p.present(level, axis, at[axis]) == 1) continue;
      for (int r = 0; r < rows; ++r) row[rows + r] = row[r] + p.stride[axis];
      rows *= 2;
      pair += i < pair_;
      ++bits;
    }
    const i64 width = p.codec.width;
    for (int r = 0; r < rows; ++r) {
      if (!read_as_is_) row[r] = read(row[r], rows_.data() + r * row_bytes_);
    }
    const bool fetches = read_as_is_ && ahead != 0;
    Fetcher fetcher;
    if (fetches) {
      fetcher.start(row[0] + ahead, p.extent[0] * width);
      fetcher.repeat(count > 1 ? count * level.total[1] : p.present(level, 1, at[1]), p.stride[1]);
      for (int i = 0; i < order_count_; ++i)
        if (order_[i] > 1) fetcher.repeat(p.present(level, order_[i], at[order_[i]]), p.stride[order_[i]]);
    }
    const i64 step = count > 1 ? level.total[1] * p.stride[1] / width : 0;
    i64 first = 0;
    for (int s = 0; s < segment_count_; ++s) {
      const Segment& segment = segments_[s];
      const int bit = segment.present == 2 ? pair : -1;
      const PoolFootprints pool = shapes_.of(rows, bit);
      const PoolFootprints count_votes = votes == nullptr ? nullptr : p.rows().mode_votes.of(rows, bit);
      // pieces: some footprints of a row, or some rows
      const i64 footprint = rows * segment.present * width;
      const i64 most = fetches ? std::max<i64>(64, piece / footprint) : count * segment.count;
      const i64 length = std::min(segment.count, most), turns = std::max<i64>(1, most / segment.count);
      for (i64 turn = 0; turn < count; turn += turns) {
        const i64 repeat = std::min(turns, count - turn);
        for (i64 begin = 0; begin < segment.count; begin += length) {
          const i64 n = std::min(length, segment.count - begin);
          const i64 to = segment.first + begin + turn * out_step;
          const void* from[8];
          for (int r = 0; r < rows; ++r) from[r] = row[r] + (first + begin * segment.present + turn * step) * width;
          fetcher.some<1>(n * repeat * footprint);
          pool({from, n, repeat, step, out_step, out + to * width,
                accumulator == nullptr ? nullptr : accumulator + to * lane_bytes_, plane, ignore_, flip_,
                accumulator == nullptr ? flip_ : 0, half_even_});
          if (count_votes == nullptr) continue;
          for (i64 i = 0; i < repeat; ++i) {
            count_votes({from, n, 1, 0, 0, votes + (segment.first + begin + (turn + i) * vote_step) * vote_bytes(p),
                         out + (to + i * out_step) * width, 0, 0, 0, 0, false});
            for (int r = 0; r < rows; ++r) from[r] = static_cast<const char*>(from[r]) + step * width;
          }
        }
      }
      first += segment.count * segment.present;
    }
  }

 private:
  bool walk(char* votes, const i64* vote_stride) {
    const Problem& p = *problem_;
    const Level& level = p.level[0];
    const i64 width = p.codec.width, length = level.extent[0];
    const bool voxels = are_voxels(), direct = is_direct();
    if (!direct && !made_.reserve(length * width)) return false;
    i64 at[max_ndim] = {};
    char* out = level.out;
    const i64 ahead = ahead_along(1);
    const i64 out_step = p.ndim > 1 ? level.stride[1] / width : 0;
    const i64 vote_step = votes != nullptr && p.ndim > 1 ? vote_stride[1] : 0;
    for (;;) {
      char* made = direct ? out : made_.data();
      const i64 count = direct ? alike(at) : 1;
      make(at, count, ahead, made, out_step, nullptr, 0, votes, vote_step);
      if (!direct) {
        if (!voxels) p.rows().decode(made, length, p.codec);
        p.rows().copy(out, level.stride[0], made, width, length);
      }
      i64 move = count;
      int axis = 1;
      for (; axis < p.ndim; ++axis, move = 1) {
        out += move * level.stride[axis];
        if (votes != nullptr) votes += move * vote_stride[axis] * vote_bytes(p);
        if ((at[axis] += move) < level.extent[axis]) break;
        out -= at[axis] * level.stride[axis];
        if (votes != nullptr) votes -= at[axis] * vote_stride[axis] * vote_bytes(p);
        at[axis] = 0;
      }
      if (axis >= p.ndim) return true;
    }
  }

  // Whether the kernels make voxels as they are wanted, and whether where they are wanted.
  bool are_voxels() const { return read_as_is_ || problem_->codec.is_identity(); }
  bool is_direct() const {
    const Level& level = problem_->level[0];
    const i64 width = problem_->codec.width;
    bool direct = are_voxels() && (level.extent[0] == 1 || level.stride[0] == width) && is_aligned(level.out, width);
    for (int axis = 1; axis < problem_->ndim; ++axis) direct = direct && level.stride[axis] % width == 0;
    return direct;
  }

  static i64 vote_bytes(const Problem& p) { return votes_width(p.codec.width); }
  static bool is_pooled(const Problem& p, int axis) { return p.level[0].total[axis] > 1; }

  const char* read(const char* from, char* to) const {
    const Problem& p = *problem_;
    if (p.stride[0] != p.codec.width) {
      p.rows().copy(to, p.codec.width, from, p.stride[0], p.extent[0]);
      from = to;
    }
    p.rows().encode(from, to, p.extent[0], p.codec);
    return to;
  }

  static constexpr i64 shortest_row = 32, longest_copied_row = 16384, piece = 1024, most_at_once = 4096;  // bytes

  const Shapes& shapes_;
  const bool ordered_;
  const u64 ignore_;
  const bool half_even_;
  const i64 lane_bytes_;

  const Problem* problem_ = nullptr;
  bool read_as_is_ = false;
  u64 flip_ = 0;
  Segment segments_[3];
  int segment_count_ = 0;
  int order_[max_ndim];  // pooled axes besides axis 0, in raster order
  int order_count_ = 0, pair_ = 0;
  i64 row_bytes_ = 0;
  Arena rows_, made_;
  std::unique_ptr<Problem> part_;
};

}  // namespace tinypyr
