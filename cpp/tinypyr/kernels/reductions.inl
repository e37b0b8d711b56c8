// Reductions: one struct per method (mean, min, max) and type of voxels. Included once per instruction set, inside its
// namespace (see kernels/kernels.inl).
//
// A struct defines the conversion of a voxel to the lanes of an accumulator (load), the combination of two accumulators
// (combine), and the conversion of a row of accumulators to a row of voxels (finish):
//
//   Voxel         type of voxels in memory
//   Lane, lanes   type and number of the lanes of an accumulator
//   Part          the reduction of one lane alone, from accumulators to accumulators
//   Ignore        type of the ignored value in comparisons with voxels
//   ordered       true if the order of voxels matters
//   averages      true if means of small footprints can be computed by mean_of (kernels/averages.inl)
//   has_small     true if small footprints have loops of their own (kernels/footprints.inl)
//   finish_small  the voxel from the accumulator of a complete footprint of 1, 2, 4 or 8 voxels

// log2 of the number of voxels in a small footprint of 1, 2, 4 or 8 voxels.
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
  static constexpr bool ordered = false, averages = false, has_small = 2 * sizeof(T) == sizeof(A);
  static TINYPYR_INLINE void load(T x, T, A* lane) { lane[0] = static_cast<A>(x); }
  static TINYPYR_INLINE A combine(A a, A b) { return static_cast<A>(a + b); }
};

// Division of exact integer sums by a power of two. One addition before the shift rounds the quotient half to even:
// half of the count less one, plus one if the quotient is odd.
template <class T, class A>
TINYPYR_INLINE T divide_by_power(A sum, int shift, A bias, A odd) {
  return static_cast<T>(static_cast<A>(sum + bias + (static_cast<A>(sum >> shift) & odd)) >> shift);
}

template <class T, class A, int known>  // known: a shift that has a loop of its own; 0: any shift
static void divide_by_power(const A* sums, T* out, i64 n, int any_shift, bool half_even) {
  const int shift = known > 0 ? known : any_shift;
  const A odd = static_cast<A>(half_even && shift > 0);
  const A bias = odd ? static_cast<A>((A{1} << shift) / 2 - 1) : A{0};
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) out[i] = divide_by_power<T, A>(sums[i], shift, bias, odd);
}

// Convert numbers of up to 32 bits to doubles, or of up to 31 bits to floats, as signed numbers, because every
// processor has such conversions.
template <class F, class A>
static inline F as_float(A x) {
  if constexpr (sizeof(F) == 4) return static_cast<F>(static_cast<std::int32_t>(x));
  return static_cast<F>(static_cast<std::int32_t>(x ^ 0x80000000u)) + F(2147483648);
}

// The rounded quotient of two integers from one division of floats. It is exact if the quotient times the count is well
// below 2^bits, where bits is the precision of F: a quotient that is not a half-integer then cannot round to one. This
// holds for sums of up to 257 voxels of 8 bits or up to 8 voxels of 16 bits as floats, and for all sums of 32 bits as
// doubles. Adding 2^(bits - 1) leaves no bits for a fraction, so the addition rounds half to even.
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

// The rounded quotient, by the fastest division for this width.
template <class T, class A>
static inline T divide(A sum, A count, bool half_even) {
  if constexpr (sizeof(A) <= 4)
    return divide_as_floats<T, std::conditional_t<sizeof(A) == 2, float, double>>(sum, count, half_even);
  else
    return divide_one<T, A>(sum, count, half_even);
}

// The rounded mean of up to `most` <= 8 bytes. Twice the sum times 2^15 / count, rounded up, exceeds the exact product
// by less than 2^16 / count, so its upper half is the quotient. For a count of 0 the result is arbitrary.
template <int most>
static inline u8 divide_few_bytes(u16 sum, u16 count, bool half_even) {
  u16 reciprocal = 32768 / most;
  static_assert((most & (most - 1)) == 0 && most <= 8);
  unrolled<most - 1>([&](auto i) TINYPYR_INLINE_LAMBDA {
    reciprocal = count == i + 1 ? static_cast<u16>(32768 / (i + 1) + (32768 % (i + 1) != 0)) : reciprocal;
  });
  const u16 quotient = static_cast<u16>(static_cast<u32>(static_cast<u16>(2 * sum)) * reciprocal >> 16);
  const u16 odd = static_cast<u16>(quotient & 1);
  // Signed, because every processor compares signed lanes.
  const auto twice = static_cast<std::int16_t>(2 * (sum - quotient * count) + odd);
  const u16 up = twice > static_cast<std::int16_t>(count) ? 1 : 0;
  return static_cast<u8>(quotient + (up & static_cast<u16>(half_even)));
}

// The rounded mean of up to 257 bytes. Their sum times 2^16 / count, rounded up, divided by 2^16, is too large by less
// than 1, so it is the quotient or the quotient plus one. All intermediate results fit 16 bits.
static inline u8 divide_bytes(u16 sum, u16 count, u16 reciprocal, bool half_even) {
  const u16 quotient = static_cast<u16>(static_cast<u32>(sum) * reciprocal >> 16);
  // (The casts keep sums and differences at 16 bits, which compilers would widen. Every processor compares signed
  // lanes.)
  const u16 rest = static_cast<u16>(sum - static_cast<u16>(quotient * count)), odd = static_cast<u16>(quotient & 1);
  const auto twice = static_cast<std::int16_t>(static_cast<u16>(2 * rest)), most = static_cast<std::int16_t>(count);
  if (!half_even) return static_cast<u8>(static_cast<u16>(quotient - (twice < 0 ? 1 : 0)));
  const u16 up = static_cast<std::int16_t>(odd + twice) > most ? 1 : 0;
  const u16 down = static_cast<std::int16_t>(odd - twice) > most ? 1 : 0;
  return static_cast<u8>(static_cast<u16>(static_cast<u16>(quotient + up) - down));
}

// Divide a row of exact integer sums by one count.
template <class T, class A>
static void divide_by_one_count(const A* sums, T* out, i64 n, i64 count, bool half_even) {
  if ((count & (count - 1)) == 0) {
    int shift = 0;
    while ((i64{1} << shift) < count) ++shift;
    if constexpr (sizeof(A) == 2) {
      // No processor shifts 16-bit lanes by a run-time count without widening them.
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
  static constexpr bool averages = sizeof(T) <= 2;
  template <int count>
  static T finish_small(const A* sum, T, bool half_even) {
    const A bias = static_cast<A>(half_even ? (count - 1) / 2 : 0), odd = static_cast<A>(half_even && count > 1);
    return divide_by_power<T, A>(sum[0], log2_of<count>, bias, odd);
  }
  static void finish(const A* sums, i64, T* out, i64 n, const Finish& params) {
    divide_by_one_count(sums, out, n, params.count, params.half_even);
  }
};

// The first lane sums all voxels. The second counts the ignored voxels, whose part of the sum is subtracted at the end.
template <class T, class A>
struct MeanWithIgnore {
  using Voxel = T;
  using Lane = A;
  using Ignore = A;  // as wide as the lane; otherwise compilers compare bytes and shuffle the results
  using Part = Sum<A, A>;
  static constexpr int lanes = 2;
  static constexpr bool ordered = false, averages = false, has_small = 2 * sizeof(T) == sizeof(A) && sizeof(T) <= 2;
  static TINYPYR_INLINE void load(T x, A ignore, A* lane) {
    lane[0] = static_cast<A>(x);
    lane[1] = static_cast<A>(lane[0] == ignore);
  }
  static TINYPYR_INLINE A combine(A a, A b) { return static_cast<A>(a + b); }
  template <int count>
  static T finish_small(const A* lane, A ignore, bool half_even) {
    const A kept = static_cast<A>(count - lane[1]), sum = static_cast<A>(lane[0] - ignore * lane[1]);
    T mean;
    if constexpr (sizeof(T) == 1)
      mean = divide_few_bytes<count>(sum, kept, half_even);
    else
      mean = divide_as_floats<T, float>(sum, static_cast<A>(kept | (kept == 0)), half_even);
    return kept == 0 ? static_cast<T>(ignore) : mean;
  }
  static void finish(const A* sums, i64 plane, T* out, i64 n, const Finish& params) {
    const A* left_out = sums + plane;
    const A count = static_cast<A>(params.count);
    const A ignore = static_cast<A>(params.ignore);
    const bool half_even = params.half_even;
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      const A kept = static_cast<A>(count - left_out[i]), sum = static_cast<A>(sums[i] - ignore * left_out[i]);
      const T mean = divide<T, A>(sum, static_cast<A>(kept | (kept == 0)), half_even);
      out[i] = kept == 0 ? static_cast<T>(ignore) : mean;
    }
  }
};

// Voxels of 64 bits: sums of the low and of the high halves, which fit 64 bits for every footprint (max_footprint in
// core/view.hpp).
template <bool has_ignore>
struct WideMean {
  using Voxel = u64;
  using Lane = u64;
  using Ignore = Voxel;
  using Part = Sum<u64, u64>;
  static constexpr int lanes = has_ignore ? 3 : 2;
  static constexpr bool ordered = false, averages = false, has_small = !has_ignore;
  static TINYPYR_INLINE void load(u64 x, u64 ignore, u64* lane) {
    const u64 keep = has_ignore ? u64{0} - static_cast<u64>(x != ignore) : ~u64{0};
    lane[0] = x & keep & 0xffffffffu;
    lane[1] = (x & keep) >> 32;
    if constexpr (has_ignore) lane[2] = keep & 1;
  }
  static TINYPYR_INLINE u64 combine(u64 a, u64 b) { return a + b; }
  // Divide the 96-bit sum high * 2^32 + low by 2^shift <= 2^31, and round half to even.
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
  static u64 finish_small(const u64* lane, u64, bool half_even) {
    return divide_by_power(lane[0], lane[1], log2_of<count>, half_even ? (count - 1) / 2 : 0, half_even && count > 1);
  }
  static void finish(const u64* low, i64 plane, u64* out, i64 n, const Finish& params) {
    const u64* high = low + plane;
    const u64 count = static_cast<u64>(params.count);
    if (!has_ignore && (count & (count - 1)) == 0) {
      int shift = 0;
      while ((u64{1} << shift) < count) ++shift;
      const u64 odd = params.half_even && count > 1, bias = odd ? count / 2 - 1 : 0;
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < n; ++i) out[i] = divide_by_power(low[i], high[i], shift, bias, odd);
      return;
    }
    for (i64 i = 0; i < n; ++i) {
      u64 divisor = count;
      if constexpr (has_ignore) divisor = high[i + plane];
      if (divisor == 0) {
        out[i] = params.ignore;
        continue;
      }
      out[i] = divide(low[i], high[i], divisor, params.half_even);
    }
  }
};

template <class T, bool has_ignore>
struct FloatMean {
  using Voxel = T;
  using Lane = double;
  using Ignore = Voxel;
  using Part = Sum<double, double>;
  static constexpr int lanes = has_ignore ? 2 : 1;
  static constexpr bool ordered = true, averages = false, has_small = !has_ignore;
  static TINYPYR_INLINE void load(T x, T ignore, double* lane) {
    if constexpr (has_ignore) {
      const bool left_out = (x == ignore) | ((x != x) & (ignore != ignore));
      // -0.0 is the only number that leaves every sum unchanged, including the sign of a zero.
      lane[0] = left_out ? -0.0 : static_cast<double>(x);
      lane[1] = left_out ? 0.0 : 1.0;
    } else {
      lane[0] = static_cast<double>(x);
    }
  }
  static TINYPYR_INLINE double combine(double a, double b) { return a + b; }
  template <int count>
  static T finish_small(const double* lane, T, bool) {
    return canonical_nan(static_cast<T>(lane[0] / count));
  }
  static void finish(const double* sums, i64 plane, T* out, i64 n, const Finish& params) {
    if constexpr (has_ignore) {
      const double* counts = sums + plane;
      const T ignore = from_bits<T>(params.ignore);
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < n; ++i) {
        const T mean = canonical_nan(static_cast<T>(sums[i] / (counts[i] == 0 ? 1.0 : counts[i])));
        out[i] = counts[i] == 0 ? ignore : mean;
      }
    } else {
      const double count = static_cast<double>(params.count);
      TINYPYR_INDEPENDENT
      for (i64 i = 0; i < n; ++i) out[i] = canonical_nan(static_cast<T>(sums[i] / count));
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
  static constexpr bool ordered = false, averages = false, has_small = true;
  static TINYPYR_INLINE void load(U x, U, U* lane) { lane[0] = x; }
  static TINYPYR_INLINE U combine(U a, U b) { return largest ? (a > b ? a : b) : (a < b ? a : b); }
  template <int>
  static U finish_small(const U* extreme, U, bool) {
    return extreme[0];
  }
  static void finish(const U* extremes, i64, U* out, i64 n, const Finish&) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) out[i] = extremes[i];
  }
};

// Floats are compared as values: NaN propagates, and a zero of either sign counts as 0.0. The second lane records if
// any voxel was counted. It is reduced like the first lane, so a counted voxel is the lower number for min, and the
// higher one for max.
template <class T, bool largest, bool has_ignore>
struct FloatExtreme {
  using Voxel = T;
  using Lane = T;
  using Ignore = Voxel;
  using Part = FloatExtreme<T, largest, false>;
  static constexpr int lanes = has_ignore ? 2 : 1;
  static constexpr bool ordered = false, averages = false, has_small = !has_ignore;
  static TINYPYR_INLINE void load(T x, T ignore, T* lane) {
    constexpr T worst = largest ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
    lane[0] = x + T{0};
    if constexpr (has_ignore) {
      const bool left_out = (x == ignore) | ((x != x) & (ignore != ignore));
      lane[0] = left_out ? worst : lane[0];
      lane[1] = left_out ? T(!largest) : T(largest);
    }
  }
  // NaN wins. There are two forms, because GCC 12 does not vectorise the second form if voxels are ignored, nor the
  // first form in loops over small footprints.
  static TINYPYR_INLINE T combine(T a, T b) {
    const bool a_wins = largest ? a > b : a < b;
    if constexpr (has_ignore) return a_wins ? a : (a != a ? a : b);
    const T extreme = a_wins ? a : b;
    return a == a ? extreme : a;
  }
  template <int>
  static T finish_small(const T* lane, T ignore, bool) {
    const T extreme = canonical_nan(lane[0]);
    if constexpr (has_ignore) return lane[1] == (largest ? T{0} : T{1}) ? ignore : extreme;
    return extreme;
  }
  static void finish(const T* extremes, i64 plane, T* out, i64 n, const Finish& params) {
    const T ignore = from_bits<T>(params.ignore);
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      T lane[lanes] = {extremes[i]};
      if constexpr (has_ignore) lane[1] = extremes[plane + i];
      out[i] = finish_small<0>(lane, ignore, false);
    }
  }
};
