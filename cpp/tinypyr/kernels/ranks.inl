// Ranks and votes of the labels in a block (see mode/block_ranks.hpp and mode/block_votes.hpp). Included once per
// instruction set, inside its namespace.

// Every loop has a fixed length, so that no remainder is processed voxel by voxel.
constexpr i64 rank_length = 32;
static_assert(code_step % rank_length == 0);

// Set the code of all voxels of one label. Their codes are 0 or code_none, so a bitwise or suffices.
template <class U>
TINYPYR_INLINE void mark_label(const U* voxels, i64 n, U key, u8 code, u8* codes) {
  for (i64 first = 0; first < n; first += rank_length) {
    TINYPYR_INDEPENDENT
    for (i64 i = first; i < first + rank_length; ++i)
      codes[i] = static_cast<u8>(codes[i] | (voxels[i] == key ? code : u8{0}));
  }
}

template <class U>
static int rank_labels(const void* from, i64 n, u8* codes, const u64* ignore, int most, u64* keys) {
  const U* voxels = static_cast<const U*>(from);
  if (ignore != nullptr) mark_label(voxels, n, static_cast<U>(*ignore), code_none, codes);
  int ranks = 0;
  for (i64 at = 0;;) {
    // Skip eight codes at a time if none is 0. The expression has 0x7f instead of 0xff for each byte that is 0.
    for (;; at += 8) {
      if (at == n) return ranks;
      constexpr u64 low = 0x7f7f7f7f7f7f7f7fu;
      const u64 eight = load_at<u64>(reinterpret_cast<const char*>(codes) + at);
      if ((((eight & low) + low) | eight | low) != ~u64{0}) break;
    }
    while (codes[at] != 0) ++at;
    if (ranks == most) return most + 1;
    const U key = voxels[at];
    keys[ranks++] = key;
    mark_label(voxels, n, key, static_cast<u8>(ranks), codes);
    at -= at % 8;
  }
}

// Precedes a loop that contains a loop of unknown length, which clang does not vectorise.
#if defined(__clang__)
#define TINYPYR_INDEPENDENT_OUTER
#else
#define TINYPYR_INDEPENDENT_OUTER TINYPYR_INDEPENDENT
#endif

template <int parts>
static void add_known_votes(const u64* from, u64* to, i64 n) {
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) {
    u64 sum = from[i];
    unrolled<parts - 1>([&](auto part) TINYPYR_INLINE_LAMBDA { sum += from[(part + 1) * n + i]; });
    to[i] = sum;
  }
}

static void add_votes(const u64* from, u64* to, i64 parts, i64 n) {
  if (parts == 2) return add_known_votes<2>(from, to, n);
  if (parts == 4) return add_known_votes<4>(from, to, n);
  if (parts == 8) return add_known_votes<8>(from, to, n);
  TINYPYR_INDEPENDENT_OUTER
  for (i64 i = 0; i < n; ++i) {
    u64 sum = from[i];
    for (i64 part = 1; part < parts; ++part) sum += from[part * n + i];
    to[i] = sum;
  }
}

// The rank with the most votes so far, with tie_bit where another rank has as many.
struct Leader {
  u64 votes, rank;

  TINYPYR_INLINE explicit Leader(u64 first) : votes(first & 0xffff), rank(votes == 0 ? u64{tie_bit} : u64{0}) {}
  // word: the votes of four ranks, including r.
  TINYPYR_INLINE void compare(u64 word, int r) {
    const u64 count = word >> r % 4 * 16 & 0xffff;
    const u64 unless_better = count == votes ? rank | tie_bit : rank;
    rank = count > votes ? static_cast<u64>(r) : unless_better;
    votes = count > votes ? count : votes;
  }
};

template <int ranks>
static bool most_known_votes(const u64* votes, i64 words, int, i64 n, u16* most, u16* winner) {
  u64 any = 0;
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) {
    Leader leader(votes[i]);
    unrolled<ranks - 1>([&](auto r) TINYPYR_INLINE_LAMBDA { leader.compare(votes[(r + 1) / 4 * words + i], r + 1); });
    most[i] = static_cast<u16>(leader.votes);
    winner[i] = static_cast<u16>(leader.rank);
    any |= leader.rank;
  }
  return (any & tie_bit) != 0;
}

static bool most_any_votes(const u64* votes, i64 words, int ranks, i64 n, u16* most, u16* winner) {
  u64 any = 0;
  TINYPYR_INDEPENDENT_OUTER
  for (i64 i = 0; i < n; ++i) {
    Leader leader(votes[i]);
    for (int r = 1; r < ranks; ++r) leader.compare(votes[r / 4 * words + i], r);
    most[i] = static_cast<u16>(leader.votes);
    winner[i] = static_cast<u16>(leader.rank);
    any |= leader.rank;
  }
  return (any & tie_bit) != 0;
}
#undef TINYPYR_INDEPENDENT_OUTER

static bool most_votes(const u64* votes, i64 words, int ranks, i64 n, u16* most, u16* winner) {
  constexpr decltype(&most_any_votes) of[] = {
      most_any_votes,      most_known_votes<1>, most_known_votes<2>, most_known_votes<3>, most_known_votes<4>,
      most_known_votes<5>, most_known_votes<6>, most_known_votes<7>, most_known_votes<8>,
  };
  return of[ranks <= 8 ? ranks : 0](votes, words, ranks, n, most, winner);
}

static int first_place(const u8* codes, const u16* place, i64 n, u8 code) {
  u16 least = 0xffff;
  for (i64 i = 0; i < n; ++i) {
    const u16 here = static_cast<u16>(place[i] | (codes[i] == code ? 0 : 0xffff));
    least = here < least ? here : least;
  }
  return least;
}
