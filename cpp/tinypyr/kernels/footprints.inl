// Pooling of footprints of 1, 2, 4 or 8 voxels in registers: the input is read once, the output is written once, and
// nothing is stored in between. Included once per instruction set, inside its namespace (see kernels/kernels.inl).
//
// Voxel p of a footprint, in raster order with the caller's axis 0 fastest, belongs to one of `rows` rows. If pair >=
// 0, the footprint has two neighbouring voxels of every row, whose numbers p differ in bit `pair`.

template <int rows_, int pair_>
struct Shape {
  static constexpr int rows = rows_, pair = pair_, count = pair < 0 ? rows : 2 * rows;
  static constexpr int below(int p) { return pair < 0 ? p : p & ((1 << pair) - 1); }
  static constexpr int row(int p) { return pair < 0 ? p : below(p) | (p >> (pair + 1)) << pair; }
  static constexpr int half(int p) { return pair < 0 ? 0 : p >> pair & 1; }
};

// Read the i-th footprint of the rows. Two narrow neighbours are read as one number of twice the width and split into
// its low and high parts, which avoids shuffles. flip: a mask that is xored with every integer, the sign bit to obtain
// keys of signed numbers.
template <class S, class T>
TINYPYR_INLINE void read_footprint(const T* const* row, i64 i, T flip, T* voxel) {
  if constexpr (S::pair >= 0 && is_integer<T> && sizeof(T) < 8) {
    using W = wider<T>;
    const W flips = static_cast<W>(flip | static_cast<W>(static_cast<W>(flip) << 8 * sizeof(T)));
    unrolled<S::rows>([&](auto r) TINYPYR_INLINE_LAMBDA {
      const W pair = static_cast<W>(read_pair<W>(row[r] + 2 * i) ^ flips);
      constexpr int first = Shape<S::rows, S::pair>::below(r) | (r >> S::pair) << (S::pair + 1);
      voxel[first] = static_cast<T>(pair);
      voxel[first | 1 << S::pair] = static_cast<T>(pair >> 8 * sizeof(T));
    });
  } else {
    unrolled<S::count>([&](auto p) TINYPYR_INLINE_LAMBDA {
      const T x = row[S::row(p)][S::pair < 0 ? i : 2 * i + S::half(p)];
      if constexpr (is_integer<T>)
        voxel[p] = static_cast<T>(x ^ flip);
      else
        voxel[p] = x;
    });
  }
}

template <class S, class T, class Visit>
TINYPYR_INLINE void each_footprint(const Footprints& these, Visit visit) {
  const T* row[S::rows];
  for (int r = 0; r < S::rows; ++r) row[r] = static_cast<const T*>(these.rows[r]);
  T flip{};
  if constexpr (is_integer<T>) flip = static_cast<T>(these.flip);
  const i64 n = these.n;
  for (i64 turn = 0, at = 0; turn < these.repeat; ++turn, at += these.out_step) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      T voxel[S::count];
      read_footprint<S>(row, i, flip, voxel);
      if constexpr (std::is_invocable_v<Visit, i64, T*, i64>)
        visit(at + i, voxel, turn);
      else
        visit(at + i, voxel);
    }
    for (int r = 0; r < S::rows; ++r) row[r] += these.step;
  }
}

// Combine accumulators as a tree, axis 0 first, then axis 1, and so on. The interface guarantees this order for sums of
// doubles.
template <class M, int count>
TINYPYR_INLINE void combine_all(typename M::Lane (*accumulator)[M::lanes]) {
  if constexpr (count > 1) {
    combine_all<M, count / 2>(accumulator);
    combine_all<M, count / 2>(accumulator + count / 2);
    unrolled<M::lanes>([&](auto lane) TINYPYR_INLINE_LAMBDA {
      accumulator[0][lane] = M::combine(accumulator[0][lane], accumulator[count / 2][lane]);
    });
  }
}

// Reductions. Accumulators are written in addition to voxels if there are further levels.
template <class M>
struct PoolReduction {
  using T = typename M::Voxel;
  static constexpr bool accumulators_are_voxels =
      is_integer<T> && sizeof(T) == sizeof(typename M::Lane) && M::lanes == 1;

  template <class S>
  static void run(const Footprints& these) {
    if constexpr (accumulators_are_voxels) {  // voxels and accumulators are the same: one loop is enough
      to<S, false>(these);
      if (these.accumulator == nullptr) return;
      for (i64 turn = 0; turn < these.repeat; ++turn)
        __builtin_memcpy(static_cast<T*>(these.accumulator) + turn * these.out_step,
                         static_cast<const T*>(these.out) + turn * these.out_step,
                         static_cast<size_t>(these.n) * sizeof(T));
    } else if constexpr (M::averages && S::pair < 0 && (S::count == 2 || S::count == 4)) {
      if (these.accumulator != nullptr) return to<S, true>(these);
      these.narrow_lanes ? average<S>(these) : to<S, false>(these);
    } else {
      these.accumulator != nullptr ? to<S, true>(these) : to<S, false>(these);
    }
  }

  // Means, rounded half to even, in lanes as narrow as the voxels.
  template <class S>
  TINYPYR_NOINLINE static void average(const Footprints& these) {
    T* out = static_cast<T*>(these.out);
    const T unflip = static_cast<T>(these.unflip);
    each_footprint<S, T>(these, [&](i64 i, const T* voxel) TINYPYR_INLINE_LAMBDA {
      out[i] = static_cast<T>(mean_of<S::count>(voxel, T{1}) ^ unflip);
    });
  }

  template <class S, bool with_accumulator>
  TINYPYR_NOINLINE static void to(const Footprints& these) {
    [[maybe_unused]] typename M::Lane* lanes = static_cast<typename M::Lane*>(these.accumulator);
    T* out = static_cast<T*>(these.out);
    [[maybe_unused]] const i64 plane = these.plane;
    const auto ignore = from_bits<typename M::Ignore>(these.ignore);
    const bool half_even = these.half_even;
    [[maybe_unused]] const auto unflip = static_cast<key_of<T>>(these.unflip);
    each_footprint<S, T>(these, [&](i64 i, const T* voxel) TINYPYR_INLINE_LAMBDA {
      typename M::Lane accumulator[S::count][M::lanes];
      unrolled<S::count>([&](auto p) TINYPYR_INLINE_LAMBDA { M::load(voxel[p], ignore, accumulator[p]); });
      combine_all<M, S::count>(accumulator);
      if constexpr (with_accumulator)
        unrolled<M::lanes>([&](auto lane) TINYPYR_INLINE_LAMBDA { lanes[lane * plane + i] = accumulator[0][lane]; });
      const T result = M::template finish_small<S::count>(accumulator[0], ignore, half_even);
      if constexpr (is_integer<T>)
        out[i] = static_cast<T>(result ^ unflip);
      else
        out[i] = result;
    });
  }
};

template <class M, class U>
struct PoolSelection {
  template <class S>
  TINYPYR_NOINLINE static void run(const Footprints& these) {
    U* out = static_cast<U*>(these.out);
    const U ignore = static_cast<U>(these.ignore), unflip = static_cast<U>(these.unflip);
    each_footprint<S, U>(these, [&](i64 i, U* voxel) TINYPYR_INLINE_LAMBDA {
      out[i] = static_cast<U>(M::template select_small<S::count>(voxel, ignore) ^ unflip);
    });
  }
};

// Modes (ties="first", nothing is ignored), and the number of voxels of each footprint that have the resulting label, as
// Votes in `accumulator`. Rows of votes are `plane` apart.
template <class U>
struct PoolModeWithVotes {
  static_assert(sizeof(Votes<U>) == sizeof(U));

  template <class S>
  TINYPYR_NOINLINE static void run(const Footprints& these) {
    U* out = static_cast<U*>(these.out);
    Votes<U>* votes = static_cast<Votes<U>*>(these.accumulator);
    const i64 further = these.plane - these.out_step;
    each_footprint<S, U>(these, [&](i64 i, U* voxel, i64 turn) TINYPYR_INLINE_LAMBDA {
      Votes<U> most;
      out[i] = Mode<U, false, false>::template select_small<S::count>(voxel, U{0}, most);
      votes[i + turn * further] = static_cast<Votes<U>>(1 - most);
    });
  }
};

// Mode votes: the number of voxels of a footprint that have the resulting label.
template <class U>
struct PoolModeVotes {
  template <class S>
  TINYPYR_NOINLINE static void run(const Footprints& these) {
    Votes<U>* out = static_cast<Votes<U>*>(these.out);
    const U* result = static_cast<const U*>(these.accumulator);
    each_footprint<S, U>(these, [&](i64 i, U* voxel) TINYPYR_INLINE_LAMBDA {
      Votes<U> count = 0;
      unrolled<S::count>([&](auto p) TINYPYR_INLINE_LAMBDA {
        count = static_cast<Votes<U>>(count + (voxel[p] == result[i] ? 1 : 0));
      });
      out[i] = count;
    });
  }
};

// The loops of a kernel. ordered: the order of voxels in a footprint matters. pairs, eight: there are loops for pairs
// of neighbours, and for eight rows, because the speed is worth the code size.
template <class Kernel, bool ordered, bool pairs, bool eight>
constexpr Shapes shapes_of() {
  Shapes shapes = {{Kernel::template run<Shape<1, -1>>, Kernel::template run<Shape<2, -1>>,
                    Kernel::template run<Shape<4, -1>>, nullptr},
                   {},
                   {}};
  if constexpr (eight) shapes.across[3] = Kernel::template run<Shape<8, -1>>;
  if constexpr (pairs) {
    shapes.first[0] = shapes.last[0] = Kernel::template run<Shape<1, 0>>;
    shapes.first[1] = Kernel::template run<Shape<2, 0>>;
    shapes.first[2] = Kernel::template run<Shape<4, 0>>;
    shapes.last[1] = Kernel::template run<Shape<2, ordered ? 1 : 0>>;
    shapes.last[2] = Kernel::template run<Shape<4, ordered ? 2 : 0>>;
  }
  return shapes;
}
