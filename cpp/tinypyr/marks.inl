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

template <int some>  // ranks; 0: any number
static bool most_votes_of(const u16* votes, i64 any_number, i64 n, u16* most, u16* winner) {
  u16 any = 0;
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) {
    u16 best = votes[i], who = best == 0 ? contested : u16{0};
    const auto next = [&](i64 r) TINYPYR_INLINE_LAMBDA {
      const u16 count = votes[r * n + i];
      const u16 as_many = static_cast<u16>(count == best ? who | contested : who);
      who = count > best ? static_cast<u16>(r) : as_many;
      best = count > best ? count : best;
    };
    unrolled<some == 0 ? 0 : some - 1>([&](auto r) TINYPYR_INLINE_LAMBDA { next(r + 1); });
    if constexpr (some == 0)
      for (i64 r = 1; r < any_number; ++r) next(r);
    most[i] = best;
    winner[i] = who;
    any = static_cast<u16>(any | who);
  }
  return (any & contested) != 0;
}

static bool most_votes(const u16* votes, i64 ranks, i64 n, u16* most, u16* winner) {
  constexpr decltype(&most_votes_of<0>) of[] = {
      most_votes_of<0>, most_votes_of<1>, most_votes_of<2>, most_votes_of<3>, most_votes_of<4>,
      most_votes_of<5>, most_votes_of<6>, most_votes_of<7>, most_votes_of<8>,
  };
  return of[ranks <= 8 ? ranks : 0](votes, ranks, n, most, winner);
}

static int first_mark(const u8* marks, const u16* place, i64 n) {
  u16 first = 0xffff;
  for (i64 i = 0; i < n; ++i) {
    const u16 here = static_cast<u16>(place[i] | (marks[i] - 1));  // 0xffff where there is no mark
    first = here < first ? here : first;
  }
  return first;
}
