// A loop over 0 .. count - 1 written out before the compiler's vectoriser looks, so that small arrays indexed by its
// counter become registers.
template <int count, class Visit>
TINYPYR_INLINE void unrolled(Visit visit) {
  if constexpr (count > 0) {
    unrolled<count - 1>(visit);
    visit(std::integral_constant<int, count - 1>{});
  }
}

template <class U>
static inline U load_at(const char* at) {
  U x;
  __builtin_memcpy(&x, at, sizeof(U));
  return x;
}
