// The combiner's loops (see sample/combiner.hpp). Included once per instruction set, after kernels/samples.inl, whose
// helpers it uses.

template <class T>
static void load(const char* from, i64 from_stride, i64 n, double* to) {
  constexpr i64 width = sizeof(T);
  T row[strip];
  if (from_stride == width && n == strip)
    __builtin_memcpy(row, from, sizeof(row));
  else
    for (i64 i = 0; i < n; ++i) row[i] = load_at<T>(from + i * from_stride);
  if constexpr (is_integer<T> && sizeof(T) <= 2) {  // in two steps, so that a loop has vectors of at most two widths
    std::int32_t whole[strip];
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) whole[i] = row[i];
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) to[i] = whole[i];
  } else {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) to[i] = static_cast<double>(row[i]);
  }
}

static void divide(const double* voxel, i64 n, double* value) {
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) value[i] = voxel[i] / (value[i] == 0 ? 1.0 : value[i]);
}

static void multiply(const double* voxel, i64 n, double* value) {
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) value[i] = voxel[i] * value[i];
}

static void subtract(const double* voxel, i64 n, double* value) {
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) value[i] = voxel[i] - value[i];
}

template <class U>
static void keep(const char* from, i64 from_stride, const double* value, i64 n, char* to, i64 to_stride) {
  U row[strip];
  for (i64 i = 0; i < n; ++i) row[i] = load_at<U>(from + i * from_stride);
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) row[i] = value[i] >= 0.5 ? row[i] : U(0);
  for (i64 i = 0; i < n; ++i) __builtin_memcpy(to + i * to_stride, &row[i], sizeof(U));
}

template <Kind kind, int width>
using loaded = std::conditional_t<kind == Kind::boolean, u8, number_of<kind, width>>;

#define TINYPYR_LOAD(id, name, width, kind) load<loaded<Kind::kind, width>>,
#define TINYPYR_STORE_EVEN(id, name, width, kind) store_of<Kind::kind, width, true>(),
static constexpr CombineKernels combines = {
    {TINYPYR_DTYPES(TINYPYR_LOAD)},
    {divide, multiply, subtract},
    {TINYPYR_DTYPES(TINYPYR_STORE_EVEN)},
    {keep<u8>, keep<u16>, keep<u32>, keep<u64>},
};
#undef TINYPYR_LOAD
#undef TINYPYR_STORE_EVEN
