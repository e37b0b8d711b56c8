// Pooling of runs along an axis that is short, or behind a short one, at any level: the columns of an image with
// interleaved channels, or a few slices.
//
// Loops over a span of three voxels, or over an axis of five, cost more than the voxels. Therefore the steps of the
// footprints are gathered into planes by shuffles (core/shuffle.hpp), which have long spans, and the planes are pooled.
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/prefetch.hpp"
#include "../core/problem.hpp"
#include "../core/shuffle.hpp"

namespace tinypyr {

// Return true if the levels of means and extremes are computed in runs of several rows, because rows are too short for
// SmallFootprints.
inline bool has_short_spans(const Problem& p) {
  constexpr i64 shortest_row = 32;  // bytes
  return p.ndim > 1 && p.extent[0] * p.codec.width < shortest_row;
}

// A loop of a reduction, `first` or `part`, with its parameters. Widths are in bytes.
struct PoolLoop {
  decltype(Reduction::part) run;
  i64 from_width, to_width;
  i64 plane;  // between the lanes of the result, in elements
  bool onto;
  u64 ignore;
  bool fills = false;    // footprints that are cut may be filled: with `neutral`, or (repeats) with one of their voxels
  bool repeats = false;  // combining an accumulator with itself does not change it
  u64 neutral = 0;       // bits that do not change the accumulators that they are combined with
};

// Order of calls: start, once per problem; then pool. Shuffles are kept from run to run.
class ShortSpans {
 public:
  // Return true if `pool` is for such runs.
  static bool suits(const ShuffleKernel& kernel, const PoolLoop& loop, const Run& run) {
    return kernel.has_instruction && (has_short_span(kernel, loop, run) || has_short_axis(loop, run));
  }

  // Return false if memory runs out.
  bool start(const ShuffleKernel& kernel) {
    if (kernel_ == &kernel) return true;
    kernel_ = &kernel;
    built_ = 0;
    return memory_.allocate([&](auto& take) {
      planes_ = take.template array<char>(2 * chunk_bytes + Shuffle::period_bound + Shuffle::longest_vector);
      sets_ = take.template array<Set>(set_count);
    });
  }

  // Pool a run that suits. The input must be contiguous.
  void pool(const PoolLoop& loop, const char* from, char* to, const Run& run) {
    if (has_short_axis(loop, run)) return pool_short_axis(loop, from, to, run);
    i64 outer = run.outer, n = run.n;
    if (run.phase == 0 && n % run.factor == 0) {  // no partial blocks: one long run of whole blocks
      n *= outer;
      outer = 1;
    }
    const i64 group = run.span * loop.from_width;
    const Set& set = set_of({group, run.factor, run.factor, 0, loop.from_width}, loop);
    const char* const end = from + outer * n * group;
    const auto block = [&](i64 factor) {
      loop.run(from, to, loop.plane, {1, factor, run.span, factor, 0, 0}, loop.onto, loop.ignore);
      from += factor * group;
      to += run.span * loop.to_width;
    };
    for (i64 o = 0; o < outer; ++o) {
      const i64 first = run.phase == 0 ? 0 : std::min(n, run.factor - run.phase), left = n - first;
      if (first > 0) block(first);
      pool_periods(set, loop, from, end, left / run.factor, to, run.ahead);
      from += left / run.factor * run.factor * group;
      to += left / run.factor * run.span * loop.to_width;
      if (left % run.factor > 0) block(left % run.factor);
    }
  }

 private:
  static constexpr i64 longest_axis = 128;  // bytes
  // Bytes of the input that are gathered at once: they and their planes fit the first-level cache. Planes that are
  // filled have masks, too.
  static constexpr i64 chunk_bytes = 8192, filled_chunk_bytes = 2048;
  static constexpr int most_factor = 4, most_filled = 2, set_count = 2;

  // A period of the input: voxels along an axis in groups of so many bytes, pooled by a factor; the first footprint
  // lacks `phase` voxels.
  struct Period {
    i64 group, n, factor, phase, width;
    bool operator==(const Period& other) const {
      return group == other.group && n == other.n && factor == other.factor && phase == other.phase &&
             width == other.width;
    }
    bool is_footprint() const { return n == factor && phase == 0; }
    i64 blocks() const { return (phase + n + factor - 1) / factor; }
    bool has(i64 block, i64 step) const { return block * factor + step >= phase && block * factor + step - phase < n; }
  };

  // The shuffles of all steps of the footprints of a period.
  struct Set {
    Period period;
    Shuffle step[most_factor];
    bool lacks[most_factor];                        // some footprints lack this step
    u64 keep[most_filled][filled_chunk_bytes / 8];  // the bits of a plane that it has
  };

  // The span is shorter than a vector of the shuffle (loops over longer ones are as fast), and the axis is not short: the
  // period is one footprint.
  static bool has_short_span(const ShuffleKernel& kernel, const PoolLoop& loop, const Run& run) {
    const i64 group = run.span * loop.from_width;
    return run.span > 1 && group < kernel.vector && run.factor > 1 && run.factor <= most_factor &&
           group * run.factor <= ShuffleBuilder::longest_period(kernel.vector);
  }
  // The whole axis is short, and ends with a footprint that is cut: the period is the axis.
  static bool has_short_axis(const PoolLoop& loop, const Run& run) {
    const bool is_cut = run.phase != 0 || run.n % run.factor != 0;
    return is_cut && loop.fills && run.outer > 1 && run.n > 1 && run.factor == most_filled &&
           run.n * run.span * loop.from_width <= longest_axis;
  }

  void pool_short_axis(const PoolLoop& loop, const char* from, char* to, const Run& run) {
    const i64 group = run.span * loop.from_width;
    const Set& set = set_of({group, run.n, run.factor, run.phase, loop.from_width}, loop);
    pool_periods(set, loop, from, from + run.outer * run.n * group, run.outer, to, run.ahead);
  }

  const Set& set_of(const Period& period, const PoolLoop& loop) {
    for (int i = 0; i < built_; ++i)
      if (sets_[i].period == period) return sets_[i];
    if (built_ == set_count) built_ = 0;
    Set& set = sets_[built_++];
    set.period = period;
    i64 bytes[ShuffleBuilder::longest_period(Shuffle::longest_vector)];
    for (i64 step = 0; step < period.factor; ++step) {
      i64 count = 0;
      set.lacks[step] = false;
      for (i64 block = 0; block < period.blocks(); ++block) {
        set.lacks[step] = set.lacks[step] || !period.has(block, step);
        const i64 voxel = std::clamp<i64>(block * period.factor + step - period.phase, 0, period.n - 1);
        for (i64 byte = 0; byte < period.group; ++byte) bytes[count++] = voxel * period.group + byte;
      }
      // (has_short_span and has_short_axis have limited the period, so that this succeeds.)
      ShuffleBuilder(bytes, count, period.n * period.group, kernel_->vector).build(set.step[step]);
      if (set.lacks[step] && !loop.repeats) build_mask(set, step, count);
    }
    return set;
  }

  // Set the bits of the accumulators that a plane has, period after period.
  static void build_mask(Set& set, i64 step, i64 count) {
    u8* const keep = reinterpret_cast<u8*>(set.keep[step]);
    for (i64 byte = 0; byte < filled_chunk_bytes; ++byte)
      keep[byte] = set.period.has(byte % count / set.period.group, step) ? 0xff : 0;
  }

  // Pool so many periods, the planes one after the other: each overwrites what the one before has written too much.
  void pool_periods(const Set& set, const PoolLoop& loop, const char* from, const char* end, i64 periods, char* to,
                    i64 ahead) const {
    const Period& period = set.period;
    const i64 bytes = period.n * period.group, result = period.blocks() * period.group;
    const i64 most = std::max<i64>(1, (period.is_footprint() ? chunk_bytes : filled_chunk_bytes) / bytes);
    for (i64 done = 0; done < periods; done += most) {
      const i64 count = std::min(most, periods - done);
      if (ahead != 0) prefetch(from + ahead, count * bytes);
      for (i64 step = 0; step < period.factor; ++step) {
        char* const plane = planes_ + step * count * result;
        shuffle_run(*kernel_, set.step[step], from, end - from, count, 0, plane);
        if (set.lacks[step] && !loop.repeats) fill(plane, set.keep[step], count * result, loop.neutral);
      }
      const i64 n = count * result / period.width;
      loop.run(planes_, to, loop.plane, {1, period.factor, n, period.factor, 0, 0}, loop.onto, loop.ignore);
      from += count * bytes;
      to += n * loop.to_width;
    }
  }

  // Replace the accumulators that a plane lacks.
  static void fill(char* plane, const u64* keep, i64 bytes, u64 neutral) {
    for (i64 i = 0; i < ceil_div(bytes, 8); ++i) {
      u64 word;
      std::memcpy(&word, plane + 8 * i, 8);
      word = (word & keep[i]) | (neutral & ~keep[i]);
      std::memcpy(plane + 8 * i, &word, 8);
    }
  }

  const ShuffleKernel* kernel_ = nullptr;
  Arena memory_;
  char* planes_ = nullptr;
  Set* sets_ = nullptr;
  int built_ = 0;  // the number of sets
};

}  // namespace tinypyr
