// One struct per method. Included once per instruction set, inside its namespace (see dispatch.cpp).
//
// Folds (mean, min, max) have a small carry. Such a struct says how one voxel becomes lanes of the carry (load), how
// two carries become one (combine), and how a row of carries becomes a row of voxels (finish):
//
//   Voxel   what is read and written          Lane    what one lane of the carry is
//   lanes   how many lanes a carry has        Part    the fold of one lane alone, from carry to carry
//
// Choices (mode, median, first) see all voxels of a footprint at once: planes[p][i] is the p-th voxel, in raster order
// with axis 0 fastest, of the i-th footprint.

// --- sums -------------------------------------------------------------------------------------------------------

template <class T, class A>
struct Sum {
  using Voxel = T;
  using Lane = A;
  using Part = Sum<A, A>;
  static constexpr int lanes = 1;
  static void load(T x, T, A* lane) { lane[0] = static_cast<A>(x); }
  static A combine(A a, A b) { return static_cast<A>(a + b); }
};

// Dividing a row of exact integer sums by one count. The rounded quotient needs one addition before the shift when the
// count is a power of two: half of it less one, plus one if the quotient is odd.
template <class T, class A>
static void divide_by_one_count(const A* sums, T* out, i64 n, i64 count, bool half_even) {
  if ((count & (count - 1)) == 0) {
    int shift = 0;
    while ((i64{1} << shift) < count) ++shift;
    const A bias = half_even && count > 1 ? static_cast<A>(count / 2 - 1) : A{0};
    const A odd = half_even && count > 1 ? A{1} : A{0};
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i)
      out[i] = static_cast<T>(static_cast<A>(sums[i] + bias + (static_cast<A>(sums[i] >> shift) & odd)) >> shift);
    return;
  }
  const A divisor = static_cast<A>(count);
  if constexpr (sizeof(A) == 2) {
    // 2^32 / count rounded up is exact for every 16-bit sum: its error times the sum stays below 2^32
    const u64 reciprocal = ((u64{1} << 32) + static_cast<u64>(count) - 1) / static_cast<u64>(count);
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      const A quotient = static_cast<A>(static_cast<u64>(sums[i]) * reciprocal >> 32);
      const A twice = static_cast<A>(2 * (sums[i] - quotient * divisor));
      const bool up = (twice > divisor) | ((twice == divisor) & (quotient & 1));
      out[i] = static_cast<T>(quotient + (up & half_even));
    }
  } else {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      const A quotient = sums[i] / divisor;
      const A twice = 2 * (sums[i] - quotient * divisor);
      const bool up = (twice > divisor) | ((twice == divisor) & (quotient & 1));
      out[i] = static_cast<T>(quotient + (up & half_even));
    }
  }
}

template <class T, class A>
static T divide_one(A sum, A count, bool half_even) {
  const A quotient = sum / count;
  const A rest = sum - quotient * count;
  const bool up = (rest > count - rest) | ((rest == count - rest) & (quotient & 1));
  return static_cast<T>(quotient + (up & half_even));
}

template <class T, class A>
struct Mean : Sum<T, A> {
  static void finish(const A* sums, i64, T* out, i64 n, const Finish& how) {
    divide_by_one_count(sums, out, n, how.count, how.half_even);
  }
};

// Left-out voxels add nothing to the sum and nothing to the count, which is a lane of its own.
template <class T, class A>
struct SparseMean {
  using Voxel = T;
  using Lane = A;
  using Part = Sum<A, A>;
  static constexpr int lanes = 2;
  static void load(T x, T ignore, A* lane) {
    const bool kept = x != ignore;
    lane[0] = kept ? static_cast<A>(x) : A{0};
    lane[1] = static_cast<A>(kept);
  }
  static A combine(A a, A b) { return static_cast<A>(a + b); }
  static void finish(const A* sums, i64 plane, T* out, i64 n, const Finish& how) {
    const A* counts = sums + plane;
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i)
      out[i] = counts[i] == 0 ? static_cast<T>(how.ignore) : divide_one<T, A>(sums[i], counts[i], how.half_even);
  }
};

// 64-bit voxels: sums of their low and high halves, which fit 64 bits for every footprint (view.hpp, max_footprint).
template <bool sparse>
struct WideMean {
  using Voxel = u64;
  using Lane = u64;
  using Part = Sum<u64, u64>;
  static constexpr int lanes = sparse ? 3 : 2;
  static void load(u64 x, u64 ignore, u64* lane) {
    const u64 keep = sparse ? u64{0} - static_cast<u64>(x != ignore) : ~u64{0};
    lane[0] = x & keep & 0xffffffffu;
    lane[1] = (x & keep) >> 32;
    if constexpr (sparse) lane[2] = keep & 1;
  }
  static u64 combine(u64 a, u64 b) { return a + b; }
  static void finish(const u64* low, i64 plane, u64* out, i64 n, const Finish& how) {
    const u64* high = low + plane;
    const u64 count = static_cast<u64>(how.count);
    if (!sparse && (count & (count - 1)) == 0) {
      int shift = 0;
      while ((u64{1} << shift) < count) ++shift;
      const u64 rounds = how.half_even && count > 1;
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < n; ++i) {
        // quotient and rest of the 96-bit sum high * 2^32 + low; shift is at most 31
        const u64 upper = high[i] + (low[i] >> 32), lower = low[i] & 0xffffffffu;
        const u64 quotient = (upper << (32 - shift)) + (lower >> shift);
        const u64 twice = 2 * (lower & (count - 1));
        out[i] = quotient + (rounds & ((twice > count) | ((twice == count) & quotient & 1)));
      }
      return;
    }
    for (i64 i = 0; i < n; ++i) {
      u64 divisor = count;
      if constexpr (sparse) divisor = high[i + plane];
      if (divisor == 0) {
        out[i] = how.ignore;
        continue;
      }
      // long division in base 2^32: the divisor is at most 2^31, so each remainder leaves room for the next digit
      const u64 upper = high[i] + (low[i] >> 32), lower = low[i] & 0xffffffffu;
      const u64 digit = upper / divisor;
      out[i] = (digit << 32) + divide_one<u64, u64>((upper - digit * divisor) << 32 | lower, divisor, how.half_even);
    }
  }
};

template <class T, bool sparse>
struct FloatMean {
  using Voxel = T;
  using Lane = double;
  using Part = Sum<double, double>;
  static constexpr int lanes = sparse ? 2 : 1;
  static void load(T x, T ignore, double* lane) {
    if constexpr (sparse) {
      const bool left_out = (x == ignore) | ((x != x) & (ignore != ignore));
      // -0.0 is the one number that leaves every sum as it was, the sign of a zero included
      lane[0] = left_out ? -0.0 : static_cast<double>(x);
      lane[1] = left_out ? 0.0 : 1.0;
    } else {
      lane[0] = static_cast<double>(x);
    }
  }
  static double combine(double a, double b) { return a + b; }
  static void finish(const double* sums, i64 plane, T* out, i64 n, const Finish& how) {
    if constexpr (sparse) {
      const double* counts = sums + plane;
      const T ignore = from_bits<T>(how.ignore);
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < n; ++i) {
        const T mean = static_cast<T>(sums[i] / (counts[i] == 0 ? 1.0 : counts[i]));
        out[i] = counts[i] == 0 ? ignore : mean;
      }
    } else {
      const double count = static_cast<double>(how.count);
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < n; ++i) out[i] = static_cast<T>(sums[i] / count);
    }
  }
};

// --- extremes -------------------------------------------------------------------------------------------

template <class U, bool largest>
struct Extreme {
  using Voxel = U;
  using Lane = U;
  using Part = Extreme;
  static constexpr int lanes = 1;
  static void load(U x, U, U* lane) { lane[0] = x; }
  static U combine(U a, U b) { return largest ? (a > b ? a : b) : (a < b ? a : b); }
  static void finish(const U* extremes, i64, U* out, i64 n, const Finish&) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) out[i] = extremes[i];
  }
};

// Floats as they are: NaN propagates, and a zero of either sign counts as 0.0. The second lane says whether anything
// was counted: it folds like the first, so for min the lower number means yes.
template <class T, bool largest, bool sparse>
struct FloatExtreme {
  using Voxel = T;
  using Lane = T;
  using Part = FloatExtreme<T, largest, false>;
  static constexpr int lanes = sparse ? 2 : 1;
  static void load(T x, T ignore, T* lane) {
    constexpr T worst = largest ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
    lane[0] = x + T{0};
    if constexpr (sparse) {
      const bool left_out = (x == ignore) | ((x != x) & (ignore != ignore));
      lane[0] = left_out ? worst : lane[0];
      lane[1] = left_out ? T(!largest) : T(largest);
    }
  }
  static T combine(T a, T b) {
    const bool ahead = largest ? a > b : a < b;
    return ahead ? a : (a != a ? a : b);  // NaN wins
  }
  static void finish(const T* extremes, i64 plane, T* out, i64 n, const Finish& how) {
    const T ignore = from_bits<T>(how.ignore);
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      T extreme = extremes[i];
      if constexpr (sparse) extreme = extremes[plane + i] == (largest ? T{0} : T{1}) ? ignore : extreme;
      out[i] = extreme != extreme ? std::numeric_limits<T>::quiet_NaN() : extreme;
    }
  }
};

// --- choices among keys -----------------------------------------------------------------------------------------

// Counting equal pairs without a branch: every voxel's count is how many voxels of its footprint equal it, and the
// first voxel with the largest count is the mode (with ties="lowest": the smallest such voxel).
template <class U, bool lowest, bool sparse>
struct Mode {
  template <int count>
  static void few(const U* const* planes, i64 n, U* out, U ignore) {
    const U* plane[count];
    for (int p = 0; p < count; ++p) plane[p] = planes[p];
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      U voxel[count], votes[count];
      unrolled<count>([&](auto p) TINYPYR_INLINE_LAMBDA {
        voxel[p] = plane[p][i];
        votes[p] = 1;
      });
      unrolled<count>([&](auto p) TINYPYR_INLINE_LAMBDA {
        unrolled<p>([&](auto q) TINYPYR_INLINE_LAMBDA {
          const U equal = voxel[p] == voxel[q];
          votes[p] = static_cast<U>(votes[p] + equal);
          votes[q] = static_cast<U>(votes[q] + equal);
        });
      });
      if constexpr (sparse)
        unrolled<count>([&](auto p) TINYPYR_INLINE_LAMBDA { votes[p] = voxel[p] == ignore ? U{0} : votes[p]; });
      U best = voxel[0], most = votes[0];
      unrolled<count>([&](auto p) TINYPYR_INLINE_LAMBDA {
        bool better = votes[p] > most;
        if constexpr (lowest) better |= (votes[p] == most) & (voxel[p] < best);
        best = better ? voxel[p] : best;
        most = better ? votes[p] : most;
      });
      out[i] = best;
    }
  }

  static void choose(const U* const* planes, int count, i64 n, U* out, const Choice& how) {
    const U ignore = static_cast<U>(how.ignore);
    if (count == 4) return few<4>(planes, n, out, ignore);
    if (count == 8) return few<8>(planes, n, out, ignore);
    if (count == 2) return few<2>(planes, n, out, ignore);
    U* most = reinterpret_cast<U*>(how.scratch);
    U* votes = most + n;
    for (int p = 0; p < count; ++p) {
      for (i64 i = 0; i < n; ++i) votes[i] = 0;
      for (int q = 0; q < count; ++q)
        for (i64 i = 0; i < n; ++i) votes[i] = static_cast<U>(votes[i] + (planes[p][i] == planes[q][i]));
      for (i64 i = 0; i < n; ++i) {
        const U counted = sparse && planes[p][i] == ignore ? U{0} : votes[i];
        const bool better = p == 0 || (counted > most[i]) | (lowest & (counted == most[i]) & (planes[p][i] < out[i]));
        out[i] = better ? planes[p][i] : out[i];
        most[i] = better ? counted : most[i];
      }
    }
  }
};

// A sorting network over whole rows (Batcher's merge exchange: Knuth, The Art of Computer Programming, volume 3,
// algorithm 5.2.2M, good for any count). Left-out keys have been moved to the top, so the lower middle of the rest is
// found by counting them.
template <class U>
struct Median {
  static void choose(const U* const* planes, int count, i64 n, U* out, const Choice& how) {
    U* sorted = reinterpret_cast<U*>(how.scratch);
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
    if (!how.has_ignore) {
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
    if (how.has_nan) {
      // NaN is the largest key but for the left-out ones
      const U nan = static_cast<U>(how.nan);
      for (int p = 0; p < count; ++p)
        for (i64 i = 0; i < n; ++i) out[i] = planes[p][i] == nan ? nan : out[i];
    }
  }
  static void exchange(U* low, U* high, i64 n) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      const U a = low[i], b = high[i];
      low[i] = a < b ? a : b;
      high[i] = a < b ? b : a;
    }
  }
};

// stride with ignore: the first voxel that is not left out, as it is. how.ignore is in canonical form (codec.hpp).
template <class U, bool floats>
struct First {
  static bool left_out(U voxel, U ignore) {
    if constexpr (floats && sizeof(U) >= 4) return to_key<Kind::floating, Form::canonical>(voxel) == ignore;
    return voxel == ignore;
  }
  static void choose(const U* const* planes, int count, i64 n, U* out, const Choice& how) {
    const U ignore = static_cast<U>(how.ignore);
    for (i64 i = 0; i < n; ++i) out[i] = left_out(planes[count - 1][i], ignore) ? ignore : planes[count - 1][i];
    for (int p = count - 2; p >= 0; --p)
      for (i64 i = 0; i < n; ++i) out[i] = left_out(planes[p][i], ignore) ? out[i] : planes[p][i];
  }
};
