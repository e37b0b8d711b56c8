// Helpers shared by all kernels. Included once per instruction set, inside its namespace.

// A loop over 0 .. count - 1 that is unrolled before the compiler's vectoriser runs, so that small arrays indexed by
// its counter become registers.
template <int count, class Visit>
TINYPYR_INLINE void unrolled(Visit visit) {
  if constexpr (count > 0) {
    unrolled<count - 1>(visit);
    visit(std::integral_constant<int, count - 1>{});
  }
}

// Replace every NaN by the canonical quiet NaN. Which NaN an operation returns, and with which sign, differs between
// processors, and between the orders of the operands that a compiler may choose.
template <class T>
TINYPYR_INLINE T canonical_nan(T x) {
  return x == x ? x : std::numeric_limits<T>::quiet_NaN();
}

template <class U>
static inline U load_at(const char* at) {
  U x;
  __builtin_memcpy(&x, at, sizeof(U));
  return x;
}

// Two neighbouring voxels as one number of twice the width.
template <class W, class T>
static inline W read_pair(const T* pair) {
  W wide;
  __builtin_memcpy(&wide, pair, sizeof(W));
  return wide;
}
