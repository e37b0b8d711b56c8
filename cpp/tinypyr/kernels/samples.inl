// The sampler's loops (see sample/kernels.hpp), in plain C++ that compilers vectorise. Included once per instruction
// set, inside its namespace and a region compiled for it (sampling.cpp, which also defines has_round). The rules of
// kernels/kernels.inl apply.

// Adding this number to a number below 2^51 leaves that number, rounded to an integer, in the low bits of the sum.
static constexpr double rounder = 6755399441055744.0;  // 1.5 * 2^52

TINYPYR_INLINE double round_down(double x) {
  if constexpr (has_round) return __builtin_floor(x) + 0.0;  // avoids -0, as below
  const double near = (x + rounder) - rounder;
  return near - (near > x ? 1.0 : 0.0);
}

TINYPYR_INLINE i64 to_integer(double whole) {
  i64 bits, zero;
  const double moved = whole + rounder, none = rounder;
  __builtin_memcpy(&bits, &moved, 8);
  __builtin_memcpy(&zero, &none, 8);
  return bits - zero;
}

static void advance(double* coordinate, i64 n, i64 from, double before, double slope, const double* after, int afters,
                    double pad) {
  double at[strip];  // doubles, because 64-bit integers are converted one by one
  for (int i = 0; i < strip; ++i) at[i] = i;
  const double start = static_cast<double>(from);
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) coordinate[i] = before + (start + at[i]) * slope;
  for (int a = 0; a < afters; ++a)
    for (i64 i = 0; i < n; ++i) coordinate[i] += after[a];
  if (pad != 0)
    for (i64 i = 0; i < n; ++i) coordinate[i] += pad;
}

static bool locate(const SampleAxis* axes, int order, const Strip& strips) {
  const i64 n = strips.n;
  const double half = order % 2 == 0 ? 0.5 : 0, least = order / 2;
  double reach[strip];
  i64 bad[strip];
  for (int h = 0; h < strips.ndim; ++h) {
    const SampleAxis& axis = axes[h];
    const double last = static_cast<double>(axis.extent - 1), before = static_cast<double>(axis.first) + least;
    const double stride = static_cast<double>(axis.stride), low = axis.low, high = axis.high, top = axis.top;
    double* coordinate = strips.coordinate + h * strip;
    double* fraction = strips.fraction + h * strip;
    if (axis.clamped)
      for (i64 i = 0; i < n; ++i) {
        const double x = coordinate[i];
        coordinate[i] = x < 0 ? 0 : x > last ? last : x;
      }
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      const double x = coordinate[i];
      const double below = round_down(x + half);
      const double middle = below > top ? top : below;
      fraction[i] = x - middle;
      const double bytes = (middle - before) * stride;
      const i64 out = (x >= low ? 0 : 1) | (x <= high ? 0 : 1);
      bad[i] = h == 0 ? out : bad[i] | out;
      reach[i] = h == 0 ? bytes : reach[i] + bytes;
    }
  }
  i64 any = 0;
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) {
    any |= bad[i];
    strips.offset[i] = to_integer(bad[i] == 0 ? reach[i] : 0.0);
  }
  if (any == 0) return true;
  for (i64 i = 0; i < n; ++i) strips.location[i] = bad[i] != 0 ? edge : plain;
  for (int h = 0; h < strips.ndim; ++h) {
    if (!axes[h].cut) continue;
    const double low = -axes[h].margin, high = static_cast<double>(axes[h].extent - 1) + axes[h].margin;
    const double* coordinate = strips.coordinate + h * strip;
    for (i64 i = 0; i < n; ++i)
      if (!(coordinate[i] >= low && coordinate[i] <= high)) strips.location[i] = outside;
  }
  return false;
}

// Coordinates along a line rise or fall monotonically, so all points are plain if both ends are. No point is compared
// with bounds.
template <int ndim, bool even, bool fractions>
static bool locate_line(const SampleAxis* axes, int order, const Strip& strips, i64 from, const double* before,
                        const double* slope) {
  const i64 n = strips.n;
  const double start = static_cast<double>(from), half = even ? 0.5 : 0;
  double base = 0, stride[ndim], at_first[ndim], step[ndim];
  for (int h = 0; h < ndim; ++h) {
    const double first = before[h] + start * slope[h],
                 last = before[h] + (start + static_cast<double>(n - 1)) * slope[h];
    const double least = first < last ? first : last, most = first < last ? last : first;
    if (!(least >= axes[h].low && most <= axes[h].line_high)) return false;
    stride[h] = static_cast<double>(axes[h].stride);
    base += (static_cast<double>(axes[h].first) + order / 2) * stride[h];
    at_first[h] = before[h];
    step[h] = slope[h];
  }
  double at[strip];
  for (int i = 0; i < strip; ++i) at[i] = i;
  double* const fraction = strips.fraction;
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) {
    const double o = start + at[i];
    double reach = -base;
    unrolled<ndim>([&](auto h) TINYPYR_INLINE_LAMBDA {
      const double x = at_first[h] + o * step[h];
      const double middle = round_down(even ? x + half : x);
      if constexpr (fractions) fraction[h * strip + i] = x - middle;
      reach += middle * stride[h];
    });
    strips.offset[i] = to_integer(reach);
  }
  return true;
}

template <bool even, bool fractions>
static bool locate_line_of(const SampleAxis* axes, int order, const Strip& strips, i64 from, const double* before,
                           const double* slope) {
  switch (strips.ndim) {
    case 1:
      return locate_line<1, even, fractions>(axes, order, strips, from, before, slope);
    case 2:
      return locate_line<2, even, fractions>(axes, order, strips, from, before, slope);
    case 3:
      return locate_line<3, even, fractions>(axes, order, strips, from, before, slope);
    default:
      return false;
  }
}

static bool locate_plain_line(const SampleAxis* axes, int order, const Strip& strips, i64 from, const double* before,
                              const double* slope) {
  return order == 0       ? locate_line_of<true, false>(axes, order, strips, from, before, slope)
         : order % 2 == 0 ? locate_line_of<true, true>(axes, order, strips, from, before, slope)
                          : locate_line_of<false, true>(axes, order, strips, from, before, slope);
}

template <class U>
static void nearest(const char* from, const i64* offset, i64 n, char* to, i64 to_stride) {
  if (to_stride == static_cast<i64>(sizeof(U)))
    for (i64 i = 0; i < n; ++i) __builtin_memcpy(to + i * static_cast<i64>(sizeof(U)), from + offset[i], sizeof(U));
  else
    for (i64 i = 0; i < n; ++i) __builtin_memcpy(to + i * to_stride, from + offset[i], sizeof(U));
}

template <class T>
constexpr bool has_sign = T(-1) < T(0);

template <class T>
struct Pair {
  T low, high;
};

// Two neighbours along the last axis. Narrow integers are read and stored as one number.
template <class T>
constexpr bool is_narrow = is_integer<T> && sizeof(T) <= 2;
template <class T>
using Neighbours = std::conditional_t<is_narrow<T>, u32, Pair<T>>;

template <class T>
TINYPYR_INLINE void read_contiguous(const char* at, Neighbours<T>& pair) {
  if constexpr (is_narrow<T>)
    pair = load_at<wider<key_of<T>>>(at);
  else
    __builtin_memcpy(&pair, at, 2 * sizeof(T));
}

template <class T>
TINYPYR_INLINE void read_apart(const char* low, const char* high, Neighbours<T>& pair) {
  if constexpr (is_narrow<T>) {
    const u32 low_bits = load_at<key_of<T>>(low), high_bits = load_at<key_of<T>>(high);
    pair = low_bits | high_bits << 8 * sizeof(T);
  } else {
    pair = {load_at<T>(low), load_at<T>(high)};
  }
}

template <class T>
TINYPYR_INLINE void unpack(const Neighbours<T>& pair, double& low, double& high) {
  if constexpr (is_narrow<T>) {
    constexpr int bits = 8 * sizeof(T), away = 32 - bits;
    using Signed = std::conditional_t<has_sign<T>, std::int32_t, u32>;  // shifts that extend the sign
    low = static_cast<double>(static_cast<std::int32_t>(static_cast<Signed>(pair << away) >> away));
    high = static_cast<double>(static_cast<std::int32_t>(static_cast<Signed>(pair << (32 - 2 * bits)) >> away));
  } else {
    low = static_cast<double>(pair.low);
    high = static_cast<double>(pair.high);
  }
}

// First read the pairs of neighbours along the last axis, one by one; then interpolate with vectors.
template <class T, int ndim>
static void linear(const char* from, const i64* offset, const double* fraction, const i64* corner, i64 next, i64 n,
                   double* to) {
  constexpr int pairs = 1 << (ndim - 1);
  Neighbours<T> pair[pairs][strip];
  if (next == static_cast<i64>(sizeof(T)))
    for (i64 i = 0; i < n; ++i) {
      const char* at = from + offset[i];
      unrolled<pairs>([&](auto p) TINYPYR_INLINE_LAMBDA { read_contiguous<T>(at + corner[p], pair[p][i]); });
    }
  else
    for (i64 i = 0; i < n; ++i) {
      const char* at = from + offset[i];
      unrolled<pairs>([&](auto p)
                          TINYPYR_INLINE_LAMBDA { read_apart<T>(at + corner[p], at + corner[p] + next, pair[p][i]); });
    }
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) {
    double value[pairs];
    const double x = fraction[(ndim - 1) * strip + i];
    unrolled<pairs>([&](auto p) TINYPYR_INLINE_LAMBDA {
      double low, high;
      unpack<T>(pair[p][i], low, high);
      value[p] = low * (1 - x) + high * x;
    });
    if constexpr (ndim >= 2) {
      const double y = fraction[(ndim - 2) * strip + i];
      unrolled<pairs / 2>([&](auto p)
                              TINYPYR_INLINE_LAMBDA { value[p] = value[2 * p] * (1 - y) + value[2 * p + 1] * y; });
    }
    if constexpr (ndim >= 3) {
      const double z = fraction[i];
      value[0] = value[0] * (1 - z) + value[1] * z;
    }
    to[i] = canonical_nan(value[0]);
  }
}

typedef double Two __attribute__((vector_size(16)));
typedef double Four __attribute__((vector_size(32)));

// The same sums as those of `linear`, in the same order.
template <int fractions>
static void blend(const double* const* rows, const double* fraction, i64 n, double* to) {
  const double y = fraction[fractions - 1], z = fraction[0];
  const double *a = rows[0], *b = rows[1], *c = rows[2 * (fractions - 1)], *d = rows[2 * (fractions - 1) + 1];
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) {
    const double first = a[i] * (1 - y) + b[i] * y;
    if constexpr (fractions == 1)
      to[i] = canonical_nan(first);
    else
      to[i] = canonical_nan(first * (1 - z) + (c[i] * (1 - y) + d[i] * y) * z);
  }
}

// Sums of the neighbours along a row. The vectors are explicit, because compilers do not vectorise such short sums.
template <int taps>
struct Taps {
  static constexpr int together = taps < 4 ? 2 : 4, rest = taps - together;
  using Several = std::conditional_t<together == 2, Two, Four>;
  Several several;
  double others[rest > 0 ? rest : 1];

  TINYPYR_INLINE void add(const char* row, double weight) {
    Several voxels;
    __builtin_memcpy(&voxels, row, sizeof(voxels));
    several += voxels * weight;
    unrolled<rest>([&](auto t) TINYPYR_INLINE_LAMBDA {
      double voxel;
      __builtin_memcpy(&voxel, row + 8 * (together + t), 8);
      others[t] += voxel * weight;
    });
  }
  TINYPYR_INLINE double operator[](int t) const { return t < together ? several[t] : others[t - together]; }
};

template <int order, int ndim>
static void spline(const char* from, const i64* offset, const double* fraction, const SampleAxis* axes, i64 n,
                   double* to) {
  constexpr int taps = order + 1, rows = ndim == 1 ? 1 : taps, planes = ndim < 3 ? 1 : taps;
  double weight[ndim][taps][strip];
  for (int h = 0; h < ndim; ++h) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      double w[taps];
      spline_weights<order>(fraction[h * strip + i], w);
      unrolled<taps>([&](auto k) TINYPYR_INLINE_LAMBDA { weight[h][k][i] = w[k]; });
    }
  }
  const i64 row_step = ndim > 1 ? axes[ndim - 2].step : 0, plane_step = ndim > 2 ? axes[0].step : 0;
  for (i64 i = 0; i < n; ++i) {
    Taps<taps> sum = {};
    const char* plane = from + offset[i];
    for (int j = 0; j < planes; ++j, plane += plane_step) {
      const double above = ndim > 2 ? weight[0][j][i] : 1;
      unrolled<rows>([&](auto k) TINYPYR_INLINE_LAMBDA {
        const double w = ndim > 1 ? above * weight[ndim - 2][k][i] : above;
        sum.add(plane + k * row_step, w);
      });
    }
    double value = sum[0] * weight[ndim - 1][0][i];
    unrolled<taps - 1>([&](auto t) TINYPYR_INLINE_LAMBDA { value += sum[t + 1] * weight[ndim - 1][t + 1][i]; });
    to[i] = canonical_nan(value);
  }
}

// --- from doubles to voxels -----------------------------------------------------------------------------------------

// Rounding of halves: away from zero, as in SciPy, or to even.
TINYPYR_INLINE double half_away(double x, bool has_negative) {
  return x > 0 ? x + 0.5 : has_negative ? x - 0.5 : 0.0;  // the fraction is truncated later
}
TINYPYR_INLINE double half_even(double x) {
  return __builtin_fabs(x) < 2251799813685248.0 ? (x + rounder) - rounder : x;  // (beyond 2^51, halves are even)
}

template <class T, bool even>
TINYPYR_INLINE auto rounded(double x) {
  if constexpr (!is_integer<T>) {
    return canonical_nan(static_cast<T>(x));
  } else if constexpr (even && sizeof(T) <= 4) {  // the low bits of the sum are the integer
    constexpr double low = has_sign<T> ? -1.0 * (u64{1} << (8 * sizeof(T) - 1)) : 0.0;
    constexpr double high = static_cast<double>((u64{1} << (8 * sizeof(T) - has_sign<T>)) - 1);
    const double number = !has_sign<T> || x == x ? x : 0.0;
    const double above = number > low ? number : low;  // low if number is NaN
    const double moved = (above < high ? above : high) + rounder;
    u64 bits;
    __builtin_memcpy(&bits, &moved, 8);
    return static_cast<u32>(bits);
  } else {
    constexpr T largest = static_cast<T>(has_sign<T> ? (key_of<T>(1) << (8 * sizeof(T) - 1)) - 1 : ~key_of<T>(0));
    constexpr T smallest = has_sign<T> ? static_cast<T>(-largest - 1) : T(0);
    const double moved = even ? half_even(x) : half_away(x, has_sign<T>);
    if constexpr (sizeof(T) < 4 || (sizeof(T) == 4 && has_sign<T>)) {
      constexpr double low = smallest, high = largest;
      const double held = moved > high ? high : moved < low ? low : moved == moved ? moved : 0.0;
      return static_cast<std::int32_t>(held);
    } else {
      constexpr double end = 2.0 * static_cast<double>(key_of<T>(1) << (8 * sizeof(T) - 1 - has_sign<T>));
      return moved >= end                             ? largest
             : moved <= static_cast<double>(smallest) ? smallest
             : moved == moved                         ? static_cast<T>(moved)
                                                      : T(0);
    }
  }
}

// A boolean: true if the value is at least 1.
struct Truth {
  u8 value;
};

template <class T, bool even>
static void store(const double* from, i64 n, char* to, i64 to_stride) {
  constexpr i64 width = sizeof(T);
  T row[strip];
  if constexpr (std::is_same_v<T, Truth>) {
    for (i64 i = 0; i < n; ++i) row[i].value = (even ? half_even(from[i]) : from[i]) >= 1;
  } else if constexpr (is_integer<T> &&
                       sizeof(T) < 4) {  // in two steps, so that a loop has vectors of at most two widths
    u32 held[strip];
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) held[i] = static_cast<u32>(rounded<T, even>(from[i]));
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) row[i] = static_cast<T>(held[i]);
  } else {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) row[i] = static_cast<T>(rounded<T, even>(from[i]));
  }
  if (to_stride == width && n == strip)
    __builtin_memcpy(to, row, sizeof(row));
  else if (to_stride == width)
    __builtin_memcpy(to, row, static_cast<size_t>(n) * sizeof(T));
  else
    for (i64 i = 0; i < n; ++i) __builtin_memcpy(to + i * to_stride, &row[i], sizeof(T));
}

// The C type of a dtype, except bool (see store_of).
template <Kind kind, int width>
using number_of = std::conditional_t<
    kind == Kind::floating, std::conditional_t<width == 4, float, double>,
    std::conditional_t<kind == Kind::signed_integer, std::make_signed_t<unsigned_of<width>>, unsigned_of<width>>>;

template <Kind kind, int width, bool even>
constexpr auto store_of() {
  return kind == Kind::boolean ? store<Truth, even> : store<number_of<kind, width>, even>;
}

#define TINYPYR_LINEAR(id, name, width, kind)                                        \
  {linear<number_of<Kind::kind, width>, 1>, linear<number_of<Kind::kind, width>, 2>, \
   linear<number_of<Kind::kind, width>, 3>},
#define TINYPYR_STORE(id, name, width, kind) store_of<Kind::kind, width, false>(),
static constexpr SampleKernels samples = {
    advance,
    locate,
    locate_plain_line,
    {nearest<u8>, nearest<u16>, nearest<u32>, nearest<u64>},
    {TINYPYR_DTYPES(TINYPYR_LINEAR)},
    {blend<1>, blend<2>},
    {{spline<2, 1>, spline<2, 2>, spline<2, 3>},
     {spline<3, 1>, spline<3, 2>, spline<3, 3>},
     {spline<4, 1>, spline<4, 2>, spline<4, 3>},
     {spline<5, 1>, spline<5, 2>, spline<5, 3>}},
    {TINYPYR_DTYPES(TINYPYR_STORE)},
};
#undef TINYPYR_LINEAR
#undef TINYPYR_STORE
