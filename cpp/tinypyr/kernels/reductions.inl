// One struct per method. Included once per instruction set, inside its namespace (see kernels/kernels.inl).
//
// Folds (mean, min, max) have a small accumulator. Such a struct says how one voxel becomes lanes of the accumulator (load), how
// two accumulators become one (combine), and how a row of accumulators becomes a row of voxels (finish):
//
//   Voxel   what is read and written          Lane    what one lane of the accumulator is
//   lanes   how many lanes a accumulator has        Part    the fold of one lane alone, from accumulator to accumulator
//   Ignore  what a voxel is compared with to be left out
//   few     the voxel made of the accumulator of a whole footprint of 1, 2, 4 or 8 voxels
//
//   ordered   the order of voxels matters to the answer
//   has_few   small footprints have loops of their own (kernels/footprints.inl)
//
// Choices (mode, median, first) see all voxels of a footprint at once, in raster order with axis 0 fastest: few<count>
// those of one footprint (where has_few), choose those of a row, planes[p][i] being the p-th voxel of the i-th footprint.

// log2 of the voxels in a small footprint: 1, 2, 4 or 8 of them.
template <int count>
constexpr int log2_of = count == 8 ? 3 : count / 2;

// --- sums -------------------------------------------------------------------------------------------------------

template <class T, class A>
struct Sum {
  using Voxel = T;
  using Lane = A;
  using Ignore = Voxel;
  using Part = Sum<A, A>;
  static constexpr int lanes = 1;
  static constexpr bool ordered = false, has_few = 2 * sizeof(T) == sizeof(A);
  static TINYPYR_INLINE void load(T x, T, A* lane) { lane[0] = static_cast<A>(x); }
  static TINYPYR_INLINE A combine(A a, A b) { return static_cast<A>(a + b); }
};

// Dividing exact integer sums by a power of two. The rounded quotient needs one addition before the shift: half of the
// count less one, plus one if the quotient is odd.
template <class T, class A>
TINYPYR_INLINE T divide_by_power(A sum, int shift, A bias, A odd) {
  return static_cast<T>(static_cast<A>(sum + bias + (static_cast<A>(sum >> shift) & odd)) >> shift);
}

template <class T, class A, int known>  // known: the shift, where it is worth a loop of its own; 0: any
static void divide_by_power(const A* sums, T* out, i64 n, int any_shift, bool half_even) {
  const int shift = known > 0 ? known : any_shift;
  const A odd = static_cast<A>(half_even && shift > 0);
  const A bias = odd ? static_cast<A>((A{1} << shift) / 2 - 1) : A{0};
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) out[i] = divide_by_power<T, A>(sums[i], shift, bias, odd);
}

// Numbers of up to 32 bits as doubles, of up to 31 as floats: by way of signed ones, which every processor converts.
template <class F, class A>
static inline F as_float(A x) {
  if constexpr (sizeof(F) == 4) return static_cast<F>(static_cast<std::int32_t>(x));
  return static_cast<F>(static_cast<std::int32_t>(x ^ 0x80000000u)) + F(2147483648);
}

// The rounded quotient of two integers by one division of floats. It is exact where the quotient times the count stays
// well below 2^bits, F having that many: a quotient that is no half-integer then stays clear of all of them. So it is for
// sums of up to 257 bytes as floats, and of up to 8 voxels of 16 bits; for all sums of 32 bits as doubles. Adding
// 2^(bits - 1) leaves no room for a fraction, which rounds halves to even.
template <class T, class F, class A>
static inline T divide_as_floats(A sum, A count, bool half_even) {
  static_assert(sizeof(T) <= 2);
  const F no_fraction = half_even ? (sizeof(F) == 4 ? F(8388608) : F(4503599627370496)) : F(0);
  const F quotient = as_float<F>(sum) / as_float<F>(count);
  return static_cast<T>(static_cast<std::int32_t>((quotient + no_fraction) - no_fraction));
}

template <class T, class A>
static T divide_one(A sum, A count, bool half_even) {
  const A quotient = sum / count;
  const A rest = sum - quotient * count;
  const bool up = (rest > count - rest) | ((rest == count - rest) & (quotient & 1));
  return static_cast<T>(quotient + (up & half_even));
}

// The rounded quotient, by whatever the processor divides best.
template <class T, class A>
static inline T divide(A sum, A count, bool half_even) {
  if constexpr (sizeof(A) <= 4)
    return divide_as_floats<T, std::conditional_t<sizeof(A) == 2, float, double>>(sum, count, half_even);
  else
    return divide_one<T, A>(sum, count, half_even);
}

// The rounded mean of the up to 8 bytes of a sum, of which at most `most`: twice the sum times 2^15 / count, rounded up,
// is less than 2^16 / count too large, so its upper half is the quotient. Any answer for a count of 0.
template <int most>
static inline u8 divide_few_bytes(u16 sum, u16 count, bool half_even) {
  u16 reciprocal = 32768 / most;
  static_assert((most & (most - 1)) == 0 && most <= 8);
  unrolled<most - 1>([&](auto i) TINYPYR_INLINE_LAMBDA {
    reciprocal = count == i + 1 ? static_cast<u16>(32768 / (i + 1) + (32768 % (i + 1) != 0)) : reciprocal;
  });
  const u16 quotient = static_cast<u16>(static_cast<u32>(static_cast<u16>(2 * sum)) * reciprocal >> 16);
  const u16 odd = static_cast<u16>(quotient & 1);
  // signed: what every processor compares
  const auto twice = static_cast<std::int16_t>(2 * (sum - quotient * count) + odd);
  const u16 up = twice > static_cast<std::int16_t>(count) ? 1 : 0;
  return static_cast<u8>(quotient + (up & static_cast<u16>(half_even)));
}

// The rounded mean of up to 257 bytes. Their sum times 2^16 / count, rounded up, divided by 2^16, is less than 1 too large, so
// it is the quotient or one more; 16 bits hold everything.
static inline u8 divide_bytes(u16 sum, u16 count, u16 reciprocal, bool half_even) {
  const u16 quotient = static_cast<u16>(static_cast<u32>(sum) * reciprocal >> 16);
  // (sums and differences are told to be of 16 bits, or a compiler widens them; signed is what every processor compares)
  const u16 rest = static_cast<u16>(sum - static_cast<u16>(quotient * count)), odd = static_cast<u16>(quotient & 1);
  const auto twice = static_cast<std::int16_t>(static_cast<u16>(2 * rest)), most = static_cast<std::int16_t>(count);
  if (!half_even) return static_cast<u8>(static_cast<u16>(quotient - (twice < 0 ? 1 : 0)));
  const u16 up = static_cast<std::int16_t>(odd + twice) > most ? 1 : 0;
  const u16 down = static_cast<std::int16_t>(odd - twice) > most ? 1 : 0;
  return static_cast<u8>(static_cast<u16>(static_cast<u16>(quotient + up) - down));
}

// Dividing a row of exact integer sums by one count.
template <class T, class A>
static void divide_by_one_count(const A* sums, T* out, i64 n, i64 count, bool half_even) {
  if ((count & (count - 1)) == 0) {
    int shift = 0;
    while ((i64{1} << shift) < count) ++shift;
    if constexpr (sizeof(A) == 2) {
      // no processor shifts 16-bit lanes by a number known at run time without widening them
      constexpr decltype(&divide_by_power<T, A, 0>) known[] = {
          divide_by_power<T, A, 0>, divide_by_power<T, A, 1>, divide_by_power<T, A, 2>,
          divide_by_power<T, A, 3>, divide_by_power<T, A, 4>, divide_by_power<T, A, 5>,
          divide_by_power<T, A, 6>, divide_by_power<T, A, 7>, divide_by_power<T, A, 8>,
      };
      return known[shift](sums, out, n, shift, half_even);
    }
    return divide_by_power<T, A, 0>(sums, out, n, shift, half_even);
  }
  const A divisor = static_cast<A>(count);
  if constexpr (sizeof(A) == 2) {
    const u16 reciprocal = static_cast<u16>(65536 / count + (65536 % count != 0));
    if (half_even) {
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < n; ++i) out[i] = divide_bytes(sums[i], divisor, reciprocal, true);
    } else {
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < n; ++i) out[i] = divide_bytes(sums[i], divisor, reciprocal, false);
    }
    return;
  }
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) out[i] = divide<T, A>(sums[i], divisor, half_even);
}

template <class T, class A>
struct Mean : Sum<T, A> {
  template <int count>
  static T few(const A* sum, T, bool half_even) {
    const A bias = static_cast<A>(half_even ? (count - 1) / 2 : 0), odd = static_cast<A>(half_even && count > 1);
    return divide_by_power<T, A>(sum[0], log2_of<count>, bias, odd);
  }
  static void finish(const A* sums, i64, T* out, i64 n, const Finish& how) {
    divide_by_one_count(sums, out, n, how.count, how.half_even);
  }
};

// All voxels are added up, and the second lane counts those to be left out: what does not belong to the sum is taken off at
// the end.
template <class T, class A>
struct SparseMean {
  using Voxel = T;
  using Lane = A;
  using Ignore = A;  // as wide as the lane, or a compiler compares bytes, and shuffles
  using Part = Sum<A, A>;
  static constexpr int lanes = 2;
  static constexpr bool ordered = false, has_few = 2 * sizeof(T) == sizeof(A) && sizeof(T) <= 2;
  static TINYPYR_INLINE void load(T x, A ignore, A* lane) {
    lane[0] = static_cast<A>(x);
    lane[1] = static_cast<A>(lane[0] == ignore);
  }
  static TINYPYR_INLINE A combine(A a, A b) { return static_cast<A>(a + b); }
  template <int count>
  static T few(const A* lane, A ignore, bool half_even) {
    const A kept = static_cast<A>(count - lane[1]), sum = static_cast<A>(lane[0] - ignore * lane[1]);
    T mean;
    if constexpr (sizeof(T) == 1)
      mean = divide_few_bytes<count>(sum, kept, half_even);
    else
      mean = divide_as_floats<T, float>(sum, static_cast<A>(kept | (kept == 0)), half_even);
    return kept == 0 ? static_cast<T>(ignore) : mean;
  }
  static void finish(const A* sums, i64 plane, T* out, i64 n, const Finish& how) {
    const A* left_out = sums + plane;
    const A count = static_cast<A>(how.count);
    const A ignore = static_cast<A>(how.ignore);
    const bool half_even = how.half_even;
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      const A kept = static_cast<A>(count - left_out[i]), sum = static_cast<A>(sums[i] - ignore * left_out[i]);
      const T mean = divide<T, A>(sum, static_cast<A>(kept | (kept == 0)), half_even);
      out[i] = kept == 0 ? static_cast<T>(ignore) : mean;
    }
  }
};

// 64-bit voxels: sums of their low and high halves, which fit 64 bits for every footprint (core/view.hpp, max_footprint).
template <bool sparse>
struct WideMean {
  using Voxel = u64;
  using Lane = u64;
  using Ignore = Voxel;
  using Part = Sum<u64, u64>;
  static constexpr int lanes = sparse ? 3 : 2;
  static constexpr bool ordered = false, has_few = !sparse;
  static TINYPYR_INLINE void load(u64 x, u64 ignore, u64* lane) {
    const u64 keep = sparse ? u64{0} - static_cast<u64>(x != ignore) : ~u64{0};
    lane[0] = x & keep & 0xffffffffu;
    lane[1] = (x & keep) >> 32;
    if constexpr (sparse) lane[2] = keep & 1;
  }
  static TINYPYR_INLINE u64 combine(u64 a, u64 b) { return a + b; }
  // The 96-bit sum high * 2^32 + low by 2^shift, at most 2^31, rounded as above.
  static u64 divide_by_power(u64 low, u64 high, int shift, u64 bias, u64 odd) {
    const u64 upper = high + (low >> 32), lower = low & 0xffffffffu;
    return (upper << (32 - shift)) + ((lower + bias + (lower >> shift & odd)) >> shift);
  }
  // Long division in base 2^32: the divisor is at most 2^31, so each remainder leaves room for the next digit.
  static u64 divide(u64 low, u64 high, u64 divisor, bool half_even) {
    const u64 upper = high + (low >> 32), lower = low & 0xffffffffu;
    const u64 digit = upper / divisor;
    return (digit << 32) + divide_one<u64, u64>((upper - digit * divisor) << 32 | lower, divisor, half_even);
  }
  template <int count>
  static u64 few(const u64* lane, u64, bool half_even) {
    return divide_by_power(lane[0], lane[1], log2_of<count>, half_even ? (count - 1) / 2 : 0, half_even && count > 1);
  }
  static void finish(const u64* low, i64 plane, u64* out, i64 n, const Finish& how) {
    const u64* high = low + plane;
    const u64 count = static_cast<u64>(how.count);
    if (!sparse && (count & (count - 1)) == 0) {
      int shift = 0;
      while ((u64{1} << shift) < count) ++shift;
      const u64 odd = how.half_even && count > 1, bias = odd ? count / 2 - 1 : 0;
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < n; ++i) out[i] = divide_by_power(low[i], high[i], shift, bias, odd);
      return;
    }
    for (i64 i = 0; i < n; ++i) {
      u64 divisor = count;
      if constexpr (sparse) divisor = high[i + plane];
      if (divisor == 0) {
        out[i] = how.ignore;
        continue;
      }
      out[i] = divide(low[i], high[i], divisor, how.half_even);
    }
  }
};

template <class T, bool sparse>
struct FloatMean {
  using Voxel = T;
  using Lane = double;
  using Ignore = Voxel;
  using Part = Sum<double, double>;
  static constexpr int lanes = sparse ? 2 : 1;
  static constexpr bool ordered = true, has_few = !sparse;
  static TINYPYR_INLINE void load(T x, T ignore, double* lane) {
    if constexpr (sparse) {
      const bool left_out = (x == ignore) | ((x != x) & (ignore != ignore));
      // -0.0 is the one number that leaves every sum as it was, the sign of a zero included
      lane[0] = left_out ? -0.0 : static_cast<double>(x);
      lane[1] = left_out ? 0.0 : 1.0;
    } else {
      lane[0] = static_cast<double>(x);
    }
  }
  static TINYPYR_INLINE double combine(double a, double b) { return a + b; }
  template <int count>
  static T few(const double* lane, T, bool) {
    return static_cast<T>(lane[0] / count);
  }
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
  using Ignore = Voxel;
  using Part = Extreme;
  static constexpr int lanes = 1;
  static constexpr bool ordered = false, has_few = true;
  static TINYPYR_INLINE void load(U x, U, U* lane) { lane[0] = x; }
  static TINYPYR_INLINE U combine(U a, U b) { return largest ? (a > b ? a : b) : (a < b ? a : b); }
  template <int>
  static U few(const U* extreme, U, bool) {
    return extreme[0];
  }
  static void finish(const U* extremes, i64, U* out, i64 n, const Finish&) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) out[i] = extremes[i];
  }
};

// Floats as they are: NaN propagates, and a zero of either sign counts as 0.0. The second lane says whether anything
// was counted: it driver like the first, so for min the lower number means yes.
template <class T, bool largest, bool sparse>
struct FloatExtreme {
  using Voxel = T;
  using Lane = T;
  using Ignore = Voxel;
  using Part = FloatExtreme<T, largest, false>;
  static constexpr int lanes = sparse ? 2 : 1;
  static constexpr bool ordered = false, has_few = !sparse;
  static TINYPYR_INLINE void load(T x, T ignore, T* lane) {
    constexpr T worst = largest ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
    lane[0] = x + T{0};
    if constexpr (sparse) {
      const bool left_out = (x == ignore) | ((x != x) & (ignore != ignore));
      lane[0] = left_out ? worst : lane[0];
      lane[1] = left_out ? T(!largest) : T(largest);
    }
  }
  // NaN wins. Two ways to say so: GCC 12 fails on the one where voxels are left out, and leaves the other scalar in loops
  // over small footprints.
  static TINYPYR_INLINE T combine(T a, T b) {
    const bool ahead = largest ? a > b : a < b;
    if constexpr (sparse) return ahead ? a : (a != a ? a : b);
    const T extreme = ahead ? a : b;
    return a == a ? extreme : a;
  }
  template <int>
  static T few(const T* lane, T ignore, bool) {
    const T extreme = lane[0] == lane[0] ? lane[0] : std::numeric_limits<T>::quiet_NaN();
    if constexpr (sparse) return lane[1] == (largest ? T{0} : T{1}) ? ignore : extreme;
    return extreme;
  }
  static void finish(const T* extremes, i64 plane, T* out, i64 n, const Finish& how) {
    const T ignore = from_bits<T>(how.ignore);
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      T lane[lanes] = {extremes[i]};
      if constexpr (sparse) lane[1] = extremes[plane + i];
      out[i] = few<0>(lane, ignore, false);
    }
  }
};

// --- choices among keys -----------------------------------------------------------------------------------------

// Counting equal pairs without a branch. A voxel's votes are the voxels after it that equal it, so of all voxels with one
// label the first has the most: the first voxel with the most votes is the mode (with ties="lowest": the smallest such
// voxel).
template <class U, bool lowest, bool sparse>
struct Mode {
  static constexpr bool ordered = !lowest, has_few = true, has_pairs = !lowest;

  template <int count>
  static U few(const U* voxel, U ignore) {
    // counted down from 0, because a comparison of vectors gives all bits, which is -1
    using Votes = std::make_signed_t<U>;
    U best = voxel[0];
    Votes most = 0;
    unrolled<count - !sparse>([&](auto p) TINYPYR_INLINE_LAMBDA {
      Votes votes = sparse ? -1 : 0;
      unrolled<count - 1 - p>([&](auto q) TINYPYR_INLINE_LAMBDA {
        votes = static_cast<Votes>(votes + (voxel[p] == voxel[p + 1 + q] ? Votes(-1) : Votes(0)));
      });
      if constexpr (sparse) votes = static_cast<Votes>(votes & (voxel[p] == ignore ? Votes(0) : Votes(-1)));
      bool better = votes < most;
      if constexpr (lowest) better |= (votes == most) & (voxel[p] < best);
      best = better ? voxel[p] : best;
      most = better ? votes : most;
    });
    if constexpr (lowest && !sparse) best = (most == 0) & (voxel[count - 1] < best) ? voxel[count - 1] : best;
    return best;
  }

  static void choose(const U* const* planes, int count, i64 n, U* out, const SelectParams& how) {
    const U ignore = static_cast<U>(how.ignore);
    U* most = reinterpret_cast<U*>(how.scratch);
    U* votes = most + n;
    for (int p = 0; p < count; ++p) {
      for (i64 i = 0; i < n; ++i) votes[i] = 1;
      for (int q = p + 1; q < count; ++q)
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

// Sorting networks: Batcher's odd-even merge of few voxels in registers, and his merge exchange over whole rows (Knuth,
// The Art of Computer Programming, volume 3, algorithm 5.2.2M, good for any count). Left-out keys have been moved to the
// top, so the lower middle of the rest is found by counting them.
template <class U>
struct Median {
  static constexpr bool ordered = false, has_few = true, has_pairs = true;

  template <int count>
  static U few(U* voxel, U) {
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
  // Two sorted halves; every `step`-th of `span` voxels.
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

  static void choose(const U* const* planes, int count, i64 n, U* out, const SelectParams& how) {
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
    for (i64 i = 0; i < n; ++i) exchange(low[i], high[i]);
  }
};

// stride with ignore: the first voxel that is not left out, as it is. how.ignore is in canonical encoding (core/codec.hpp).
template <class U, bool floats>
struct First {
  static constexpr bool ordered = true, has_few = false;

  static bool left_out(U voxel, U ignore) {
    if constexpr (floats && sizeof(U) >= 4) return to_key<Kind::floating, Encoding::canonical>(voxel) == ignore;
    return voxel == ignore;
  }
  static void choose(const U* const* planes, int count, i64 n, U* out, const SelectParams& how) {
    const U ignore = static_cast<U>(how.ignore);
    for (i64 i = 0; i < n; ++i) out[i] = left_out(planes[count - 1][i], ignore) ? ignore : planes[count - 1][i];
    for (int p = count - 2; p >= 0; --p)
      for (i64 i = 0; i < n; ++i) out[i] = left_out(planes[p][i], ignore) ? out[i] : planes[p][i];
  }
};
