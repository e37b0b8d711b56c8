// Ranks and votes of the labels of a block (see mode/rank_blocks.hpp). Included once per instruction set, inside its
// namespace.

// Every loop has a fixed length, so that no remainder is done voxel by voxel.
constexpr i64 rank_length = 32;
static_assert(rank_step % rank_length == 0);

// Set the code of all voxels of one label. Their codes are 0 or code_none, so that `or` sets them.
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
    // Skip eight codes at a time if none is 0: the expression has 0x7f, not 0xff, for each byte that is 0.
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

// Loops for the usual numbers of parts and of ranks are unrolled; 0: any number.
template <int some>
static void add_votes_of(const u64* from, u64* to, i64 any_number, i64 n) {
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) {
    u64 sum = from[i];
    unrolled<some == 0 ? 0 : some - 1>([&](auto part) TINYPYR_INLINE_LAMBDA { sum += from[(part + 1) * n + i]; });
    if constexpr (some == 0)
      for (i64 part = 1; part < any_number; ++part) sum += from[part * n + i];
    to[i] = sum;
  }
}

static void add_votes(const u64* from, u64* to, i64 parts, i64 n) {
  if (parts == 2) return add_votes_of<2>(from, to, parts, n);
  if (parts == 4) return add_votes_of<4>(from, to, parts, n);
  if (parts == 8) return add_votes_of<8>(from, to, parts, n);
  add_votes_of<0>(from, to, parts, n);
}

template <int some>
static bool most_votes_of(const u64* votes, i64 words, int any_number, i64 n, u16* most, u16* winner) {
  u64 any = 0;
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) {
    u64 best = votes[i] & 0xffff, first = best == 0 ? u64{tie_bit} : u64{0};
    const auto next = [&](int r) TINYPYR_INLINE_LAMBDA {
      const u64 count = votes[r / 4 * words + i] >> r % 4 * 16 & 0xffff;
      const u64 unless_better = count == best ? first | tie_bit : first;
      first = count > best ? static_cast<u64>(r) : unless_better;
      best = count > best ? count : best;
    };
    unrolled<some == 0 ? 0 : some - 1>([&](auto r) TINYPYR_INLINE_LAMBDA { next(r + 1); });
    if constexpr (some == 0)
      for (int r = 1; r < any_number; ++r) next(r);
    most[i] = static_cast<u16>(best);
    winner[i] = static_cast<u16>(first);
    any |= first;
  }
  return (any & tie_bit) != 0;
}

static bool most_votes(const u64* votes, i64 words, int ranks, i64 n, u16* most, u16* winner) {
  constexpr decltype(&most_votes_of<0>) of[] = {
      most_votes_of<0>, most_votes_of<1>, most_votes_of<2>, most_votes_of<3>, most_votes_of<4>,
      most_votes_of<5>, most_votes_of<6>, most_votes_of<7>, most_votes_of<8>,
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
