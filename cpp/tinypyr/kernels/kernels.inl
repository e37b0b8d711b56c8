// The loops, in plain C++ that compilers vectorise. Included once per instruction set, inside its namespace and inside
// a region compiled for it (see kernels_base.cpp); `all_kernels` at the end is all that leaves. No allocation, no exceptions, and
// no library function in here: a library template instantiated in such a region could win at link time and run on a
// machine that lacks the instructions.

#include "basics.inl"
#include "reductions.inl"

template <class W, class T>
static inline W read_pair(const T* pair) {
  W wide;
  __builtin_memcpy(&wide, pair, sizeof(W));
  return wide;
}

#include "footprints.inl"

// --- pooling one axis of a contiguous (outer, n, span) row ---------------------------------------------------------

template <class M, bool add>
TINYPYR_INLINE void put(typename M::Lane* to, i64 plane, i64 i, const typename M::Lane* accumulator) {
  for (int lane = 0; lane < M::lanes; ++lane) {
    typename M::Lane& slot = to[lane * plane + i];
    slot = add ? M::combine(slot, accumulator[lane]) : accumulator[lane];
  }
}

template <class M>
TINYPYR_INLINE void take(typename M::Lane* accumulator, typename M::Voxel x, typename M::Ignore ignore) {
  typename M::Lane next[M::lanes];
  M::load(x, ignore, next);
  for (int lane = 0; lane < M::lanes; ++lane) accumulator[lane] = M::combine(accumulator[lane], next[lane]);
}

// Any factor along the fastest axis, one block after the other. Never vectorised: GCC 12 would start a sum of doubles
// with left-out voxels from +0.0, and lose the sign of a zero.
template <class M, bool add>
TINYPYR_SCALAR static void pool_along(const typename M::Voxel* from, typename M::Lane* to, i64 plane, i64 blocks,
                                      i64 factor, typename M::Ignore ignore) {
  for (i64 block = 0; block < blocks; ++block, from += factor) {
    typename M::Lane accumulator[M::lanes];
    M::load(from[0], ignore, accumulator);
    for (i64 step = 1; step < factor; ++step) take<M>(accumulator, from[step], ignore);
    put<M, add>(to, plane, block, accumulator);
  }
}

// Any factor along another axis: neighbours take their steps together, a cache line or two at a time.
template <class M, bool add>
TINYPYR_NOINLINE static void pool_across(const typename M::Voxel* from, typename M::Lane* to, i64 plane, i64 span,
                                         i64 factor, typename M::Ignore ignore) {
  constexpr i64 tile = 128;
  typename M::Lane accumulator[M::lanes][tile], one[M::lanes];
  for (i64 first = 0; first < span; first += tile) {
    const i64 count = span - first < tile ? span - first : tile;
    for (i64 step = 0; step < factor; ++step)
      for (i64 i = 0; i < count; ++i) {
        M::load(from[step * span + first + i], ignore, one);
        for (int lane = 0; lane < M::lanes; ++lane)
          accumulator[lane][i] = step == 0 ? one[lane] : M::combine(accumulator[lane][i], one[lane]);
      }
    for (int lane = 0; lane < M::lanes; ++lane)
      for (i64 i = 0; i < count; ++i) {
        typename M::Lane& slot = to[lane * plane + first + i];
        slot = add ? M::combine(slot, accumulator[lane][i]) : accumulator[lane][i];
      }
  }
}

// `blocks` blocks of `factor` steps of `span` voxels each; every step of a block is added in sequence. fixed is the
// factor where it is worth a loop of its own (0: any).
template <class M, int fixed, bool add>
static void pool_blocks(const typename M::Voxel* from, typename M::Lane* to, i64 plane, i64 blocks, i64 span,
                        i64 any_factor, typename M::Ignore ignore) {
  using T = typename M::Voxel;
  using A = typename M::Lane;
  if constexpr (fixed == 1) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < blocks * span; ++i) {
      A accumulator[M::lanes];
      M::load(from[i], ignore, accumulator);
      put<M, add>(to, plane, i, accumulator);
    }
  } else if constexpr (fixed > 0) {
    if (span == 1) {
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < blocks; ++i) {
        A accumulator[M::lanes];
        if constexpr (fixed == 2 && is_integer<T> && sizeof(T) < 8) {
          // two voxels read as one number of twice the width: low part, high part, and no shuffles
          using W = wider<T>;
          const W pair = read_pair<W>(from + 2 * i);
          M::load(static_cast<T>(pair), ignore, accumulator);
          take<M>(accumulator, static_cast<T>(pair >> 8 * sizeof(T)), ignore);
        } else {
          M::load(from[fixed * i], ignore, accumulator);
          unrolled<fixed - 1>([&](auto step)
                                  TINYPYR_INLINE_LAMBDA { take<M>(accumulator, from[fixed * i + 1 + step], ignore); });
        }
        put<M, add>(to, plane, i, accumulator);
      }
      return;
    }
    for (i64 block = 0; block < blocks; ++block, from += fixed * span, to += span) {
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < span; ++i) {
        A accumulator[M::lanes];
        M::load(from[i], ignore, accumulator);
        unrolled<fixed - 1>([&](auto step)
                                TINYPYR_INLINE_LAMBDA { take<M>(accumulator, from[(1 + step) * span + i], ignore); });
        put<M, add>(to, plane, i, accumulator);
      }
    }
  } else if (span == 1) {
    pool_along<M, add>(from, to, plane, blocks, any_factor, ignore);
  } else {
    for (i64 block = 0; block < blocks; ++block, from += any_factor * span, to += span)
      pool_across<M, add>(from, to, plane, span, any_factor, ignore);
  }
}

// One copy of each loop is enough: inlined into every kind of block, they make the library four times as large.
template <class M, bool add>
TINYPYR_NOINLINE static void pool_any(const typename M::Voxel* from, typename M::Lane* to, i64 plane, i64 blocks,
                                      i64 span, i64 factor, typename M::Ignore ignore) {
  if (factor == 1) return pool_blocks<M, 1, add>(from, to, plane, blocks, span, factor, ignore);
  if (factor == 2) return pool_blocks<M, 2, add>(from, to, plane, blocks, span, factor, ignore);
  if constexpr (M::lanes == 1 && sizeof(typename M::Voxel) <= 2) {  // (each is as large as all others together)
    if (factor == 3) return pool_blocks<M, 3, add>(from, to, plane, blocks, span, factor, ignore);
    if (factor == 4 && span > 1) return pool_blocks<M, 4, add>(from, to, plane, blocks, span, factor, ignore);
    if (factor == 5 && span > 1) return pool_blocks<M, 5, add>(from, to, plane, blocks, span, factor, ignore);
  }
  pool_blocks<M, 0, add>(from, to, plane, blocks, span, factor, ignore);
}

template <class M, bool add>
static void pool_run(const typename M::Voxel* from, typename M::Lane* to, i64 plane, const Run& run,
                     typename M::Ignore ignore) {
  i64 outer = run.outer, n = run.n;
  if (run.phase == 0 && n % run.factor == 0) {  // nothing partial: one long run of blocks
    n *= outer;
    outer = 1;
  }
  for (i64 o = 0; o < outer; ++o, from += n * run.span) {
    const typename M::Voxel* at = from;
    i64 left = n;
    auto blocks = [&](i64 count, i64 factor) {
      if (count == 0) return;  // a factor far beyond the row: nothing below may be multiplied by it
      // whole blocks, about a kilobyte at a time where memory is fetched meanwhile
      const i64 length = factor * run.span, width = sizeof(*at);
      const i64 most = run.ahead == 0 ? count : 1 + 1024 / (length * width);
      while (count > 0) {
        const i64 some = count < most ? count : most;
        if (run.ahead != 0) prefetch(reinterpret_cast<const char*>(at) + run.ahead, some * length * width);
        pool_any<M, add>(at, to, plane, some, run.span, factor, ignore);
        at += some * length;
        to += some * run.span;
        left -= some * factor;
        count -= some;
      }
    };
    if (run.phase > 0) blocks(1, left < run.factor - run.phase ? left : run.factor - run.phase);
    blocks(left / run.factor, run.factor);
    if (left > 0) blocks(1, left);
  }
}

template <class M>
static void pool(const void* from, void* to, i64 plane, const Run& run, bool add, u64 ignore_bits) {
  using T = typename M::Voxel;
  const T* source = static_cast<const T*>(from);
  typename M::Lane* target = static_cast<typename M::Lane*>(to);
  const auto ignore = from_bits<typename M::Ignore>(ignore_bits);
  add ? pool_run<M, true>(source, target, plane, run, ignore) : pool_run<M, false>(source, target, plane, run, ignore);
}

template <class M>
static void finish(const void* accumulator, i64 plane, void* out, i64 n, const Finish& how) {
  M::finish(static_cast<const typename M::Lane*>(accumulator), plane, static_cast<typename M::Voxel*>(out), n, how);
}

template <class M>
constexpr Reduction reduction_of() {
  Reduction fold = {M::lanes, sizeof(typename M::Lane), pool<M>, pool<typename M::Part>, finish<M>, {}};
  if constexpr (M::has_few) fold.small = shapes_of<PoolReduction<M>, M::ordered, true, false>();
  return fold;
}

template <class M, class U>
static void choose(const void* const* planes, int count, i64 n, void* out, const SelectParams& how) {
  M::choose(reinterpret_cast<const U* const*>(planes), count, n, static_cast<U*>(out), how);
}

template <class M, class U>
constexpr SelectKernels selection_of() {
  SelectKernels choice = {choose<M, U>, {}};
  if constexpr (M::has_few) choice.small = shapes_of<PoolSelection<M, U>, M::ordered, M::has_pairs, true>();
  return choice;
}

// --- moving voxels between strided memory and rows ----------------------------------------------------------------

template <class U>
static void copy_strided(char* to, i64 to_stride, const char* from, i64 from_stride, i64 n) {
  constexpr i64 width = sizeof(U);
  if (to_stride == width && from_stride == width) {
    __builtin_memcpy(to, from, static_cast<size_t>(n * width));
  } else if (sizeof(U) < 8 && to_stride == width && from_stride == 2 * width && n > 1) {
    // halves of pairs: the low ones first, then the high ones, because what lies beyond both ends may not exist
    const auto halves = [&](i64 begin, i64 end, i64 back) TINYPYR_INLINE_LAMBDA {
      for (i64 i = begin; i < end; ++i) {
        const U x = static_cast<U>(load_at<wider<U>>(from + (2 * i - back) * width) >> 8 * back * width);
        __builtin_memcpy(to + i * width, &x, sizeof(U));
      }
    };
    halves(0, n / 2, 0);
    halves(n / 2, n, 1);
  } else {
    for (i64 i = 0; i < n; ++i) {
      const U x = load_at<U>(from + i * from_stride);
      __builtin_memcpy(to + i * to_stride, &x, sizeof(U));
    }
  }
}

template <Kind kind, Encoding encoding, class U>
static void encode_as(const char* from, U* row, i64 n) {
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) row[i] = to_key<kind, encoding>(load_at<U>(from + i * static_cast<i64>(sizeof(U))));
}

// From a contiguous run of voxels, which may be the row itself.
template <class U>
static void encode(const void* source, void* start, i64 n, const Codec& codec) {
  const char* from = static_cast<const char*>(source);
  U* row = static_cast<U*>(start);
  if (codec.swapped) {
    for (i64 i = 0; i < n; ++i) row[i] = swap_bytes(load_at<U>(from + i * static_cast<i64>(sizeof(U))));
    from = static_cast<const char*>(start);
  }
  const U remapped = static_cast<U>(codec.remapped);
  if (codec.keys_are_bits()) {
    if (from != start) __builtin_memcpy(row, from, static_cast<size_t>(n) * sizeof(U));
  } else if (codec.kind == Kind::boolean) {
    encode_as<Kind::boolean, Encoding::key>(from, row, n);
  } else if (codec.kind == Kind::signed_integer) {
    encode_as<Kind::signed_integer, Encoding::key>(from, row, n);
  } else if constexpr (sizeof(U) >= 4) {
    if (codec.encoding == Encoding::canonical)
      encode_as<Kind::floating, Encoding::canonical>(from, row, n);
    else
      encode_as<Kind::floating, Encoding::key>(from, row, n);
  }
  if (codec.remap == IgnoreRemap::to_top)
    for (i64 i = 0; i < n; ++i) row[i] = remap_key(row[i], IgnoreRemap::to_top, remapped);
  if (codec.remap == IgnoreRemap::to_bottom)
    for (i64 i = 0; i < n; ++i) row[i] = remap_key(row[i], IgnoreRemap::to_bottom, remapped);
}

template <class U>
static void decode(void* start, i64 n, const Codec& codec) {
  U* row = static_cast<U*>(start);
  const U remapped = static_cast<U>(codec.remapped);
  if (codec.remap == IgnoreRemap::to_top)
    for (i64 i = 0; i < n; ++i) row[i] = undo_remap(row[i], IgnoreRemap::to_top, remapped);
  if (codec.remap == IgnoreRemap::to_bottom)
    for (i64 i = 0; i < n; ++i) row[i] = undo_remap(row[i], IgnoreRemap::to_bottom, remapped);
  if (!codec.keys_are_bits() && codec.kind == Kind::signed_integer)
    for (i64 i = 0; i < n; ++i) row[i] = from_key<Kind::signed_integer>(row[i]);
  if constexpr (sizeof(U) >= 4)
    if (codec.encoding == Encoding::key && codec.kind == Kind::floating)
      for (i64 i = 0; i < n; ++i) row[i] = from_key<Kind::floating>(row[i]);
  if (codec.swapped)
    for (i64 i = 0; i < n; ++i) row[i] = swap_bytes(row[i]);
}

#include "ranks.inl"
#include "vote_bounds.inl"

// --- what leaves --------------------------------------------------------------------------------------------------

template <class U>
constexpr RowKernels rows_of() {
  return {copy_strided<U>,
          encode<U>,
          decode<U>,
          rank_labels<U>,
          shapes_of<PoolModeVotes<U>, false, true, true>(),
          {{nullptr, prove_modes<U, 2, false>, prove_modes<U, 4, false>, prove_modes<U, 8, false>},
           {prove_modes<U, 1, true>, prove_modes<U, 2, true>, prove_modes<U, 4, true>, nullptr}},
          count_labels<U>,
          count_two_labels<U>,
          {{selection_of<Mode<U, false, false>, U>(), selection_of<Mode<U, false, true>, U>()},
           {selection_of<Mode<U, true, false>, U>(), selection_of<Mode<U, true, true>, U>()}},
          selection_of<Median<U>, U>(),
          {selection_of<First<U, false>, U>(), selection_of<First<U, true>, U>()}};
}

// {width, floating, largest footprint, {plain, with ignore}}; the narrowest accumulator that holds the footprint comes first.
static constexpr ReductionRow means[] = {
    {1, false, 257, {reduction_of<Mean<u8, u16>>(), reduction_of<SparseMean<u8, u16>>()}},
    {1, false, i64{1} << 24, {reduction_of<Mean<u8, u32>>(), reduction_of<SparseMean<u8, u32>>()}},
    {1, false, max_footprint, {reduction_of<Mean<u8, u64>>(), reduction_of<SparseMean<u8, u64>>()}},
    {2, false, i64{1} << 16, {reduction_of<Mean<u16, u32>>(), reduction_of<SparseMean<u16, u32>>()}},
    {2, false, max_footprint, {reduction_of<Mean<u16, u64>>(), reduction_of<SparseMean<u16, u64>>()}},
    {4, false, max_footprint, {reduction_of<Mean<u32, u64>>(), reduction_of<SparseMean<u32, u64>>()}},
    {8, false, max_footprint, {reduction_of<WideMean<false>>(), reduction_of<WideMean<true>>()}},
    {4, true, max_footprint, {reduction_of<FloatMean<float, false>>(), reduction_of<FloatMean<float, true>>()}},
    {8, true, max_footprint, {reduction_of<FloatMean<double, false>>(), reduction_of<FloatMean<double, true>>()}},
};

// Keys know what is ignored by their order (core/codec.hpp); floats do not.
template <bool largest>
constexpr ReductionRow extremes[] = {
    {1, false, max_footprint, {reduction_of<Extreme<u8, largest>>(), reduction_of<Extreme<u8, largest>>()}},
    {2, false, max_footprint, {reduction_of<Extreme<u16, largest>>(), reduction_of<Extreme<u16, largest>>()}},
    {4, false, max_footprint, {reduction_of<Extreme<u32, largest>>(), reduction_of<Extreme<u32, largest>>()}},
    {8, false, max_footprint, {reduction_of<Extreme<u64, largest>>(), reduction_of<Extreme<u64, largest>>()}},
    {4,
     true,
     max_footprint,
     {reduction_of<FloatExtreme<float, largest, false>>(), reduction_of<FloatExtreme<float, largest, true>>()}},
    {8,
     true,
     max_footprint,
     {reduction_of<FloatExtreme<double, largest, false>>(), reduction_of<FloatExtreme<double, largest, true>>()}},
};

static_assert(covers_dtypes(table_of(means)), "a dtype of core/dtypes.hpp has no row among the means");
static_assert(covers_widenings(table_of(means)), "sums of small footprints cannot be added to wider ones");
static_assert(covers_dtypes(table_of(extremes<false>)), "a dtype of core/dtypes.hpp has no row among the extremes");

static constexpr Kernels all_kernels = {{rows_of<u8>(), rows_of<u16>(), rows_of<u32>(), rows_of<u64>()},
                                        table_of(means),
                                        table_of(extremes<false>),
                                        table_of(extremes<true>),
                                        add_votes,
                                        most_votes,
                                        first_place};
