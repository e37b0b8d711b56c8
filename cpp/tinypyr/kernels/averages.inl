// Means of 2 or 4 unsigned integers in lanes of their own width, and vectors in registers. Included once per instruction
// set, inside its namespace and region, before kernels/shuffle.inl.
//
// Every processor averages two integers and rounds up, in one instruction. Three such averages and the last bits of their
// numbers give the exact sum, and so every rounding: an average is too large by a half if its numbers differ in their last
// bit. Sums in wider lanes take about twice as many instructions.

template <class T>
TINYPYR_INLINE T average_up(T a, T b) {
  return static_cast<T>((a + b + 1) >> 1);
}

#if defined(TINYPYR_PERMUTE_VBMI) || defined(TINYPYR_PERMUTE_SSSE3)
// A vector of integers in registers.
template <class T>
struct LanesOf {
#if defined(TINYPYR_PERMUTE_VBMI)
  static constexpr int bytes = 64;
#else
  static constexpr int bytes = 32;
#endif
  typedef T type __attribute__((vector_size(bytes)));
};
template <class T>
using Lanes = typename LanesOf<T>::type;

// The sums of neighbouring lanes, and the low halves of lanes (in order, within the parts of a register that Turns has).
#if defined(TINYPYR_PERMUTE_VBMI)
using Register = __m512i;
TINYPYR_INLINE Lanes<u8> average_up(Lanes<u8> a, Lanes<u8> b) {
  return (Lanes<u8>)_mm512_avg_epu8((Register)a, (Register)b);
}
TINYPYR_INLINE Lanes<u16> average_up(Lanes<u16> a, Lanes<u16> b) {
  return (Lanes<u16>)_mm512_avg_epu16((Register)a, (Register)b);
}
TINYPYR_INLINE Lanes<u16> sum_pairs(Lanes<u8> x) {
  return (Lanes<u16>)_mm512_maddubs_epi16((Register)x, _mm512_set1_epi8(1));
}
// (The conversions without a mask make GCC 12 warn of an uninitialised register.)
TINYPYR_INLINE Register narrow(Lanes<u16> x) {
  return _mm512_castsi256_si512(_mm512_maskz_cvtepi16_epi8(~__mmask32{0}, (Register)x));
}
TINYPYR_INLINE Register narrow(Lanes<u32> x) {
  return _mm512_castsi256_si512(_mm512_maskz_cvtepi32_epi16(static_cast<__mmask16>(~0), (Register)x));
}
#else
using Register = __m256i;
TINYPYR_INLINE Lanes<u8> average_up(Lanes<u8> a, Lanes<u8> b) {
  return (Lanes<u8>)_mm256_avg_epu8((Register)a, (Register)b);
}
TINYPYR_INLINE Lanes<u16> average_up(Lanes<u16> a, Lanes<u16> b) {
  return (Lanes<u16>)_mm256_avg_epu16((Register)a, (Register)b);
}
TINYPYR_INLINE Lanes<u16> sum_pairs(Lanes<u8> x) {
  return (Lanes<u16>)_mm256_maddubs_epi16((Register)x, _mm256_set1_epi8(1));
}
TINYPYR_INLINE Register narrow(Lanes<u16> x) { return _mm256_packus_epi16((Register)x, (Register)x); }
TINYPYR_INLINE Register narrow(Lanes<u32> x) { return _mm256_packus_epi32((Register)x, (Register)x); }
#endif
TINYPYR_INLINE Lanes<u32> sum_pairs(Lanes<u16> x) {
  const Lanes<u32> pairs = (Lanes<u32>)x;
  return (pairs & 0xffff) + (pairs >> 16);
}
#endif

// Return the mean of 2 or 4 integers, rounded half to even. V: an unsigned integer of 1 or 2 bytes, or a vector of them.
// In the comments, `up` is the average of averages, and its excess is counted in units of 1 / count.
template <int count, class V>
TINYPYR_INLINE V mean_of(const V* x, V one) {
  static_assert(count == 2 || count == 4);
  const V a = static_cast<V>(x[0] ^ x[1]);
  if constexpr (count == 2) {
    const V up = average_up(x[0], x[1]);
    return static_cast<V>(up - (static_cast<V>(a & up) & one));
  } else {
    const V y[] = {average_up(x[0], x[1]), average_up(x[2], x[3])}, up = average_up(y[0], y[1]);
    // The excess is a + b + 2 c. One is subtracted if it is above 2, or 2 and `up` is odd.
    const V b = static_cast<V>(x[2] ^ x[3]), c = static_cast<V>(y[0] ^ y[1]);
    return static_cast<V>(up - (static_cast<V>((a & b & up) | (c & (a | b | up))) & one));
  }
}
