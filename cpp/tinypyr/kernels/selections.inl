// Selections: one struct per method (mode, median, stride with ignore) and type of keys. Included once per instruction
// set, inside its namespace (see kernels/kernels.inl).
//
// A struct gets all voxels of a footprint at once, in raster order with axis 0 fastest:
//
//   select        computes the results of a row of footprints; planes[p][i] is the p-th voxel of the i-th footprint
//   ordered       true if the order of voxels matters
//   has_small     true if small footprints have loops of their own (kernels/footprints.inl)
//   has_pairs     true if these include loops for pairs of neighbours
//   select_small  computes the result of one footprint of 1, 2, 4 or 8 voxels

// The mode, by counting equal pairs without branches. The votes of a voxel are the number of equal voxels after it. Of
// all voxels with one label, the first therefore has the most votes, and the first voxel with the most votes is the
// mode (with ties="lowest": the smallest such voxel).
template <class U, bool lowest, bool has_ignore>
struct Mode {
  static constexpr bool ordered = !lowest, has_small = true, has_pairs = !lowest;

  template <int count>
  static U select_small(const U* voxel, U ignore) {
    std::make_signed_t<U> most;
    return select_small<count>(voxel, ignore, most);
  }
  // most: receives the votes of the result, beyond the first one, as a negative number (if has_ignore is false).
  template <int count>
  static TINYPYR_INLINE U select_small(const U* voxel, U ignore, std::make_signed_t<U>& most) {
    // Votes are counted down from 0, because a true comparison of vectors has all bits set, which is -1.
    using Votes = std::make_signed_t<U>;
    U best = voxel[0];
    most = 0;
    unrolled<count - !has_ignore>([&](auto p) TINYPYR_INLINE_LAMBDA {
      Votes votes = has_ignore ? -1 : 0;
      unrolled<count - 1 - p>([&](auto q) TINYPYR_INLINE_LAMBDA {
        votes = static_cast<Votes>(votes + (voxel[p] == voxel[p + 1 + q] ? Votes(-1) : Votes(0)));
      });
      if constexpr (has_ignore) votes = static_cast<Votes>(votes & (voxel[p] == ignore ? Votes(0) : Votes(-1)));
      bool better = votes < most;
      if constexpr (lowest) better |= (votes == most) & (voxel[p] < best);
      best = better ? voxel[p] : best;
      most = better ? votes : most;
    });
    if constexpr (lowest && !has_ignore) best = ((most == 0) & (voxel[count - 1] < best)) ? voxel[count - 1] : best;
    return best;
  }

  static void select(const U* const* planes, int count, i64 n, U* out, const SelectParams& params) {
    const U ignore = static_cast<U>(params.ignore);
    U* most = reinterpret_cast<U*>(params.scratch);
    U* votes = most + n;
    for (int p = 0; p < count; ++p) {
      for (i64 i = 0; i < n; ++i) votes[i] = 1;
      for (int q = p + 1; q < count; ++q)
        for (i64 i = 0; i < n; ++i) votes[i] = static_cast<U>(votes[i] + (planes[p][i] == planes[q][i]));
      for (i64 i = 0; i < n; ++i) {
        const U counted = has_ignore && planes[p][i] == ignore ? U{0} : votes[i];
        const bool better = p == 0 || (counted > most[i]) | (lowest & (counted == most[i]) & (planes[p][i] < out[i]));
        out[i] = better ? planes[p][i] : out[i];
        most[i] = better ? counted : most[i];
      }
    }
  }
};

// The median, by sorting networks: Batcher's odd-even merge for a few voxels in registers, and his merge exchange for
// whole rows (Knuth, The Art of Computer Programming, volume 3, algorithm 5.2.2M, for any count). The key of the
// ignored value has been remapped to the top, so the index of the lower middle voxel follows from the number of other
// voxels.
template <class U>
struct Median {
  static constexpr bool ordered = false, has_small = true, has_pairs = true;

  template <int count>
  static U select_small(U* voxel, U) {
    sort<count>(voxel);
    return voxel[(count - 1) / 2];
  }
  template <int count>
  static TINYPYR_INLINE void sort(U* voxel) {
    if constexpr (count > 1) {
      sort<count / 2>(voxel);
      sort<count / 2>(voxel + count / 2);
      merge<count, 1>(voxel);
    }
  }
  // Merge two sorted halves: every `step`-th of `span` voxels.
  template <int span, int step>
  static TINYPYR_INLINE void merge(U* voxel) {
    if constexpr (2 * step < span) {
      merge<span, 2 * step>(voxel);
      merge<span, 2 * step>(voxel + step);
      unrolled<span / (2 * step) - 1>(
          [&](auto i) TINYPYR_INLINE_LAMBDA { exchange(voxel[step + 2 * step * i], voxel[2 * step + 2 * step * i]); });
    } else {
      exchange(voxel[0], voxel[step]);
    }
  }
  static TINYPYR_INLINE void exchange(U& low, U& high) {
    const U a = low, b = high;
    low = a < b ? a : b;
    high = a < b ? b : a;
  }

  static void select(const U* const* planes, int count, i64 n, U* out, const SelectParams& params) {
    U* sorted = reinterpret_cast<U*>(params.scratch);
    for (int p = 0; p < count; ++p)
      for (i64 i = 0; i < n; ++i) sorted[p * n + i] = planes[p][i];
    int top = 1;
    while (2 * top < count) top *= 2;
    for (int step = top; count > 1 && step > 0; step /= 2) {
      int q = top, r = 0, distance = step;
      for (;;) {
        for (int p = 0; p < count - distance; ++p)
          if ((p & step) == r) exchange(sorted + p * n, sorted + (p + distance) * n, n);
        if (q == step) break;
        distance = q - step;
        q /= 2;
        r = step;
      }
    }
    if (!params.has_ignore) {
      const U* middle = sorted + (count - 1) / 2 * n;
      for (i64 i = 0; i < n; ++i) out[i] = middle[i];
    } else {
      const U left_out = static_cast<U>(~U{0});
      for (i64 i = 0; i < n; ++i) {
        int kept = 0;
        for (int p = 0; p < count; ++p) kept += sorted[p * n + i] != left_out;
        out[i] = sorted[(kept > 0 ? kept - 1 : 0) / 2 * n + i];
      }
    }
    if (params.has_nan) {
      // NaN is the largest key except for ignored voxels.
      const U nan = static_cast<U>(params.nan);
      for (int p = 0; p < count; ++p)
        for (i64 i = 0; i < n; ++i) out[i] = planes[p][i] == nan ? nan : out[i];
    }
  }
  static void exchange(U* low, U* high, i64 n) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) exchange(low[i], high[i]);
  }
};

// stride with ignore: a copy of the first voxel that is not ignored. params.ignore is in canonical encoding
// (core/codec.hpp).
template <class U, bool floats>
struct First {
  static constexpr bool ordered = true, has_small = false;

  static bool left_out(U voxel, U ignore) {
    if constexpr (floats && sizeof(U) >= 4) return to_key<Kind::floating, Encoding::canonical>(voxel) == ignore;
    return voxel == ignore;
  }
  static void select(const U* const* planes, int count, i64 n, U* out, const SelectParams& params) {
    const U ignore = static_cast<U>(params.ignore);
    for (i64 i = 0; i < n; ++i) out[i] = left_out(planes[count - 1][i], ignore) ? ignore : planes[count - 1][i];
    for (int p = count - 2; p >= 0; --p)
      for (i64 i = 0; i < n; ++i) out[i] = left_out(planes[p][i], ignore) ? out[i] : planes[p][i];
  }
};
