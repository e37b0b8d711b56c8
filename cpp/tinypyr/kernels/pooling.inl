// Pooling of one axis of a contiguous row (outer, n, span). Included once per instruction set, inside its namespace
// (see kernels/kernels.inl). M is a struct of kernels/reductions.inl.

template <class M, bool add>
TINYPYR_INLINE void put_accumulator(typename M::Lane* to, i64 plane, i64 i, const typename M::Lane* accumulator) {
  for (int lane = 0; lane < M::lanes; ++lane) {
    typename M::Lane& slot = to[lane * plane + i];
    slot = add ? M::combine(slot, accumulator[lane]) : accumulator[lane];
  }
}

template <class M>
TINYPYR_INLINE void accumulate(typename M::Lane* accumulator, typename M::Voxel x, typename M::Ignore ignore) {
  typename M::Lane next[M::lanes];
  M::load(x, ignore, next);
  for (int lane = 0; lane < M::lanes; ++lane) accumulator[lane] = M::combine(accumulator[lane], next[lane]);
}

// Pool by any factor along the fastest axis, block by block. This loop must not be vectorised: GCC 12 would start a sum
// of doubles with ignored voxels from +0.0, and lose the sign of a zero.
template <class M, bool add>
TINYPYR_SCALAR static void pool_along(const typename M::Voxel* from, typename M::Lane* to, i64 plane, i64 blocks,
                                      i64 factor, typename M::Ignore ignore) {
  for (i64 block = 0; block < blocks; ++block, from += factor) {
    typename M::Lane accumulator[M::lanes];
    M::load(from[0], ignore, accumulator);
    for (i64 step = 1; step < factor; ++step) accumulate<M>(accumulator, from[step], ignore);
    put_accumulator<M, add>(to, plane, block, accumulator);
  }
}

// Pool by any factor along another axis: neighbours are pooled together, one or two cache lines at a time.
template <class M>
TINYPYR_NOINLINE static void pool_across(const typename M::Voxel* from, typename M::Lane* to, i64 plane, i64 span,
                                         i64 factor, bool add, typename M::Ignore ignore) {
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
    for (int lane = 0; lane < M::lanes; ++lane) {
      typename M::Lane* slots = to + lane * plane + first;
      if (!add) {
        __builtin_memcpy(slots, accumulator[lane], static_cast<size_t>(count) * sizeof(*slots));
        continue;
      }
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < count; ++i) slots[i] = M::combine(slots[i], accumulator[lane][i]);
    }
  }
}

// Pool blocks of `factor` steps of `span` voxels each; the steps of a block are combined in sequence. fixed: a factor
// that has a loop of its own; 0: any factor.
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
      put_accumulator<M, add>(to, plane, i, accumulator);
    }
  } else if constexpr (fixed > 0) {
    if (span == 1) {
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < blocks; ++i) {
        A accumulator[M::lanes];
        if constexpr (fixed == 2 && is_integer<T> && sizeof(T) < 8) {
          // Read two voxels as one number of twice the width and split it, which avoids shuffles.
          using W = wider<T>;
          const W pair = read_pair<W>(from + 2 * i);
          M::load(static_cast<T>(pair), ignore, accumulator);
          accumulate<M>(accumulator, static_cast<T>(pair >> 8 * sizeof(T)), ignore);
        } else {
          M::load(from[fixed * i], ignore, accumulator);
          unrolled<fixed - 1>(
              [&](auto step) TINYPYR_INLINE_LAMBDA { accumulate<M>(accumulator, from[fixed * i + 1 + step], ignore); });
        }
        put_accumulator<M, add>(to, plane, i, accumulator);
      }
      return;
    }
    for (i64 block = 0; block < blocks; ++block, from += fixed * span, to += span) {
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < span; ++i) {
        A accumulator[M::lanes];
        M::load(from[i], ignore, accumulator);
        unrolled<fixed - 1>(
            [&](auto step) TINYPYR_INLINE_LAMBDA { accumulate<M>(accumulator, from[(1 + step) * span + i], ignore); });
        put_accumulator<M, add>(to, plane, i, accumulator);
      }
    }
  } else if (span == 1) {
    pool_along<M, add>(from, to, plane, blocks, any_factor, ignore);
  } else {
    for (i64 block = 0; block < blocks; ++block, from += any_factor * span, to += span)
      pool_across<M>(from, to, plane, span, any_factor, add, ignore);
  }
}

// Pool whole blocks, or one partial block. Not inlined, because a copy of each loop for every kind of block would make
// the library four times as large.
template <class M, bool add>
TINYPYR_NOINLINE static void pool_any(const void* from_voxels, void* to_lanes, i64 plane, i64 blocks, i64 span,
                                      i64 factor, u64 ignore_bits) {
  const auto* from = static_cast<const typename M::Voxel*>(from_voxels);
  auto* to = static_cast<typename M::Lane*>(to_lanes);
  const auto ignore = from_bits<typename M::Ignore>(ignore_bits);
  if (factor == 1) return pool_blocks<M, 1, add>(from, to, plane, blocks, span, factor, ignore);
  if (factor == 2) return pool_blocks<M, 2, add>(from, to, plane, blocks, span, factor, ignore);
  if constexpr (M::lanes == 1 && sizeof(typename M::Voxel) <= 2) {  // each is as large as all others together
    if (factor == 3) return pool_blocks<M, 3, add>(from, to, plane, blocks, span, factor, ignore);
    if (factor == 4 && span > 1) return pool_blocks<M, 4, add>(from, to, plane, blocks, span, factor, ignore);
    if (factor == 5 && span > 1) return pool_blocks<M, 5, add>(from, to, plane, blocks, span, factor, ignore);
  }
  pool_blocks<M, 0, add>(from, to, plane, blocks, span, factor, ignore);
}

using PoolBlocks = void (*)(const void* from, void* to, i64 plane, i64 blocks, i64 span, i64 factor, u64 ignore);

// Pool a run, from a partial block to the next. width, lane_width: bytes of voxels and of lanes. One copy serves all
// types.
static void pool_run(const char* from, char* to, i64 plane, const Run& run, i64 width, i64 lane_width,
                     PoolBlocks pool_some, u64 ignore) {
  i64 outer = run.outer, n = run.n;
  if (run.phase == 0 && n % run.factor == 0) {  // no partial blocks: one long run of whole blocks
    n *= outer;
    outer = 1;
  }
  for (i64 o = 0; o < outer; ++o) {
    i64 left = n;
    const auto blocks = [&](i64 count, i64 factor) {
      if (count == 0) return;  // the factor may be so large that products with it overflow
      // Whole blocks: about a kilobyte at a time if memory is prefetched during the loop.
      const i64 bytes = factor * run.span * width;
      const i64 most = run.ahead == 0 ? count : 1 + 1024 / bytes;
      while (count > 0) {
        const i64 some = count < most ? count : most;
        if (run.ahead != 0) prefetch(from + run.ahead, some * bytes);
        pool_some(from, to, plane, some, run.span, factor, ignore);
        from += some * bytes;
        to += some * run.span * lane_width;
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
static void pool(const void* from, void* to, i64 plane, const Run& run, bool add, u64 ignore) {
  pool_run(static_cast<const char*>(from), static_cast<char*>(to), plane, run, sizeof(typename M::Voxel),
           sizeof(typename M::Lane), add ? pool_any<M, true> : pool_any<M, false>, ignore);
}
