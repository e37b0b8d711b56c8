// Labels of one block: ranks, marks and votes (see blocks.hpp). Included once per instruction set, inside its namespace.

template <class U>
static int rank(const void* from, i64 n, u8* seen, const u64* ignore, int most, u64* keys, u8* marks) {
  const U* voxels = static_cast<const U*>(from);
  if (ignore != nullptr) {
    const U left_out = static_cast<U>(*ignore);
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) seen[i] = static_cast<u8>(seen[i] | (voxels[i] == left_out));
  }
  int ranks = 0;
  for (i64 at = 0;; marks += n) {
    constexpr u64 all_seen = 0x0101010101010101u;
    while (at + 8 <= n && load_at<u64>(reinterpret_cast<const char*>(seen) + at) == all_seen) at += 8;
    while (at < n && seen[at] != 0) ++at;
    if (at == n) return ranks;
    if (ranks == most) return most + 1;
    const U key = voxels[at];
    keys[ranks++] = key;
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      const u8 mark = static_cast<u8>((voxels[i] == key) & (seen[i] ^ 1));
      marks[i] = mark;
      seen[i] = static_cast<u8>(seen[i] | mark);
    }
  }
}

static bool most_votes(const u16* votes, i64 ranks, i64 n, u16* most, u16* winner) {
  for (i64 i = 0; i < n; ++i) {
    most[i] = votes[i];
    winner[i] = 0;
  }
  for (i64 r = 1; r < ranks; ++r)
    for (i64 i = 0; i < n; ++i) {
      const u16 count = votes[r * n + i];
      winner[i] = count > most[i] ? static_cast<u16>(r) : winner[i];
      most[i] = count > most[i] ? count : most[i];
    }
  u16 contested = 0;
  for (i64 i = 0; i < n; ++i) contested = static_cast<u16>(contested | (most[i] == 0));
  for (i64 r = 0; r < ranks; ++r)
    for (i64 i = 0; i < n; ++i)
      contested = static_cast<u16>(contested | ((votes[r * n + i] == most[i]) & (winner[i] != r)));
  return contested != 0;
}

static int first_mark(const u8* marks, const u16* place, i64 n) {
  u16 first = 0xffff;
  for (i64 i = 0; i < n; ++i) {
    const u16 here = marks[i] != 0 ? place[i] : u16{0xffff};
    first = here < first ? here : first;
  }
  return first;
}
