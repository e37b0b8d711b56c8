// Execution of shuffles (core/shuffle.hpp). Included once per instruction set, inside its namespace.
//
// One primitive depends on the instruction set: Permuter, which writes the bytes of two vectors in another order.

#if defined(TINYPYR_PERMUTE_VBMI)  // vectors of 64 bytes, one instruction
struct Permuter {
  static constexpr int vector = 64;
  static constexpr bool needs_vbmi = true;
  static constexpr bool has_instruction = true;
  __m512i index;
  TINYPYR_INLINE explicit Permuter(const u8* bytes) : index(_mm512_loadu_si512(bytes)) {}
  TINYPYR_INLINE void permute(const char* first, const char* second, char* to) const {
    _mm512_storeu_si512(to, _mm512_permutex2var_epi8(_mm512_loadu_si512(first), index, _mm512_loadu_si512(second)));
  }
};
#elif defined(TINYPYR_PERMUTE_SSSE3)  // vectors of 16 bytes; an index with the top bit set gives 0
struct Permuter {
  static constexpr int vector = 16;
  static constexpr bool needs_vbmi = false;
  static constexpr bool has_instruction = true;
  __m128i of_first, of_second;
  TINYPYR_INLINE explicit Permuter(const u8* bytes) {
    const __m128i index = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
    of_first = _mm_adds_epu8(index, _mm_set1_epi8(0x70));
    of_second = _mm_sub_epi8(index, _mm_set1_epi8(16));
  }
  TINYPYR_INLINE void permute(const char* first, const char* second, char* to) const {
    const __m128i a = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(first)), of_first);
    const __m128i b = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(second)), of_second);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_or_si128(a, b));
  }
};
#elif defined(__aarch64__)
struct Permuter {
  static constexpr int vector = 16;
  static constexpr bool needs_vbmi = false;
  static constexpr bool has_instruction = true;
  uint8x16_t index;
  TINYPYR_INLINE explicit Permuter(const u8* bytes) : index(vld1q_u8(bytes)) {}
  TINYPYR_INLINE void permute(const char* first, const char* second, char* to) const {
    const uint8x16x2_t both = {
        {vld1q_u8(reinterpret_cast<const u8*>(first)), vld1q_u8(reinterpret_cast<const u8*>(second))}};
    vst1q_u8(reinterpret_cast<u8*>(to), vqtbl2q_u8(both, index));
  }
};
#else  // any processor
struct Permuter {
  static constexpr int vector = 16;
  static constexpr bool needs_vbmi = false;
  static constexpr bool has_instruction = false;
  const u8* index;
  TINYPYR_INLINE explicit Permuter(const u8* bytes) : index(bytes) {}
  TINYPYR_INLINE void permute(const char* first, const char* second, char* to) const {
    for (int i = 0; i < vector; ++i) to[i] = index[i] < vector ? first[index[i]] : second[index[i] - vector];
  }
};
#endif

static void run_shuffle(const Shuffle& shuffle, const char* from, char* to, i64 turns) {
  // (Copies, because the compiler must assume that what is written may be the shuffle.)
  const i64 from_step = shuffle.from_step, to_step = shuffle.to_step;
  if (shuffle.moves == 1) {
    const Shuffle::Move& move = shuffle.move[0];
    const Permuter permuter(move.index);
    const char* second = from + move.from[1];
    from += move.from[0];
    for (i64 turn = 0; turn < turns; ++turn, from += from_step, second += from_step, to += to_step)
      permuter.permute(from, second, to);
    return;
  }
  for (i64 turn = 0; turn < turns; ++turn, from += from_step, to += to_step)
    for (int i = 0; i < shuffle.moves; ++i) {
      const Shuffle::Move& move = shuffle.move[i];
      Permuter(move.index).permute(from + move.from[0], from + move.from[1], to + move.to);
    }
}
