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

// --- means of periods -----------------------------------------------------------------------------------------------

#if defined(TINYPYR_PERMUTE_VBMI)
// A turn in one register.
struct Turns {
  static constexpr int count = 1;
  Register index;
  TINYPYR_INLINE explicit Turns(const u8* bytes) : index(_mm512_loadu_si512(bytes)) {}
  TINYPYR_INLINE Register select(Register first, Register second) const {
    return _mm512_permutex2var_epi8(first, index, second);
  }
  static TINYPYR_INLINE __mmask64 first(i64 bytes) {
    return bytes >= 64 ? ~__mmask64{0} : _bzhi_u64(~__mmask64{0}, static_cast<unsigned>(bytes < 0 ? 0 : bytes));
  }
  static TINYPYR_INLINE Register load(const char* from, i64) { return _mm512_loadu_si512(from); }
  static TINYPYR_INLINE Register load_some(const char* from, i64, i64 bytes) {
    return _mm512_maskz_loadu_epi8(first(bytes), from);
  }
  template <int bytes>
  static TINYPYR_INLINE void store(char* to, i64, Register x) {
    __builtin_memcpy(to, &x, bytes);
  }
  static TINYPYR_INLINE void store_some(char* to, i64, i64 bytes, Register x) {
    _mm512_mask_storeu_epi8(to, first(bytes), x);
  }
};
#elif defined(TINYPYR_PERMUTE_SSSE3)
// Two turns side by side, each in half a register, because bytes are permuted within halves.
struct Turns {
  static constexpr int count = 2;
  Register of_first, of_second;
  TINYPYR_INLINE explicit Turns(const u8* bytes) {
    const Register index = _mm256_broadcastsi128_si256(half(bytes));
    of_first = _mm256_adds_epu8(index, _mm256_set1_epi8(0x70));
    of_second = _mm256_sub_epi8(index, _mm256_set1_epi8(16));
  }
  TINYPYR_INLINE Register select(Register first, Register second) const {
    return _mm256_or_si256(_mm256_shuffle_epi8(first, of_first), _mm256_shuffle_epi8(second, of_second));
  }
  static TINYPYR_INLINE __m128i half(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
  static TINYPYR_INLINE Register load(const char* from, i64 step) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(half(from)), half(from + step), 1);
  }
  static TINYPYR_INLINE Register load_some(const char* from, i64 step, i64 bytes) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(some(from, bytes)), some(from + step, bytes - step), 1);
  }
  static TINYPYR_NOINLINE __m128i some(const char* from, i64 bytes) {
    char copy[16] = {};
    if (bytes > 0) __builtin_memcpy(copy, from, static_cast<size_t>(bytes < 16 ? bytes : 16));
    return half(copy);
  }
  template <int bytes>
  static TINYPYR_INLINE void store(char* to, i64 step, Register x) {
    const __m128i low = _mm256_castsi256_si128(x), high = _mm256_extracti128_si256(x, 1);
    if constexpr (bytes == 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), low);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + step), high);
    } else {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), low);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to + step), high);
    }
  }
  static TINYPYR_NOINLINE void store_some(char* to, i64 step, i64 bytes, Register x) {
    char copy[32];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(copy), x);
    __builtin_memcpy(to, copy, static_cast<size_t>(bytes < step ? bytes : step));
    if (bytes > step)
      __builtin_memcpy(to + step, copy + 16, static_cast<size_t>(bytes < 2 * step ? bytes - step : step));
  }
};
#endif

#if defined(TINYPYR_PERMUTE_VBMI) || defined(TINYPYR_PERMUTE_SSSE3)
// Round the sums of 4 or 8 voxels, half to even.
template <int count, class V>
TINYPYR_INLINE V round_sums(V sums) {
  constexpr int shift = count / 4 + 1;
  return (sums + (count / 2 - 1) + ((sums >> shift) & 1)) >> shift;
}

template <class T, int voxels, int rows>
static void average_periods(const PeriodSelections& these, const PeriodRows& input) {
  constexpr bool pairs = sums_pairs(voxels, rows);
  constexpr int vector = Permuter::vector, written = pairs ? vector / 2 : vector;
  const i64 from_step = these.from_step, to_step = these.to_step;
  const i64 from_bytes = input.bytes, to_bytes = input.to_bytes;
  const Lanes<T> one = Lanes<T>{} + 1;
  const Turns first(these.index[0]), second(these.index[1]);
  const char *row[rows], *const *const input_rows = input.row;
  for (int r = 0; r < rows; ++r) row[r] = input_rows[r];
  char* const to = input.to;
  const auto turn = [&](auto load, i64 from) TINYPYR_INLINE_LAMBDA {
    Lanes<T> x[2 * rows];
    for (int r = 0; r < rows; ++r) {
      const Register a = load(row[r], from), b = load(row[r], from + vector);
      x[2 * r] = (Lanes<T>)first.select(a, b);
      if constexpr (!pairs || voxels == 4) x[2 * r + 1] = (Lanes<T>)second.select(a, b);
    }
    if constexpr (pairs) {
      Lanes<wider<T>> sums{};
      for (int r = 0; r < rows; ++r) {
        sums += sum_pairs(x[2 * r]);
        if constexpr (voxels == 4) sums += sum_pairs(x[2 * r + 1]);
      }
      return narrow(round_sums<voxels * rows>(sums));
    } else {
      return (Register)mean_of<2 * rows>(x, one);
    }
  };
  // Whole vectors are read and written as long as they lie in the rows and in the output.
  const i64 last_read = from_bytes - 2 * vector - (Turns::count - 1) * from_step;
  const i64 last_written = to_bytes - written - (Turns::count - 1) * to_step;
  i64 at = 0, done = 0;
  for (; at <= last_read && done <= last_written; at += Turns::count * from_step, done += Turns::count * to_step) {
    const auto load = [&](const char* from, i64 byte)
                          TINYPYR_INLINE_LAMBDA { return Turns::load(from + byte, from_step); };
    Turns::store<written>(to + done, to_step, turn(load, at));
  }
  for (; done < to_bytes; at += Turns::count * from_step, done += Turns::count * to_step) {
    const auto load = [&](const char* from, i64 byte)
                          TINYPYR_INLINE_LAMBDA { return Turns::load_some(from + byte, from_step, from_bytes - byte); };
    Turns::store_some(to + done, to_step, to_bytes - done, turn(load, at));
  }
}

static constexpr ShuffleKernel shuffle_kernel = {
    run_shuffle,
    Permuter::vector,
    Permuter::needs_vbmi,
    Permuter::has_instruction,
    {{{average_periods<u8, 2, 1>, average_periods<u8, 2, 2>, average_periods<u8, 2, 4>},
      {average_periods<u8, 4, 1>, average_periods<u8, 4, 2>, nullptr}},
     {{average_periods<u16, 2, 1>, average_periods<u16, 2, 2>, average_periods<u16, 2, 4>},
      {average_periods<u16, 4, 1>, average_periods<u16, 4, 2>, nullptr}}}};
#else
static constexpr ShuffleKernel shuffle_kernel = {
    run_shuffle, Permuter::vector, Permuter::needs_vbmi, Permuter::has_instruction, {}};
#endif
