// Modes of levels above the first from bounds of the level below (see mode/vote_bounds.hpp). Included once per instruction set, inside
// its namespace.

template <class U, int rows, bool pairs>
TINYPYR_NOINLINE static void prove(const Bounds& these) {
  using V = Votes<U>;
  using Key = std::make_unsigned_t<V>;  // (all lanes of one width)
  constexpr int count = pairs ? 2 * rows : rows;
  const U* label[rows];
  const V *least[rows], *most[rows], *others_of[rows];
  for (int r = 0; r < rows; ++r) {
    label[r] = static_cast<const U*>(these.labels[r]);
    least[r] = static_cast<const V*>(these.least[r]);
    most[r] = static_cast<const V*>(these.most[r]);
    others_of[r] = static_cast<const V*>(these.others[r]);
  }
  U *to = static_cast<U*>(these.label), *runners_up = static_cast<U*>(these.runner_up);
  V *low = static_cast<V*>(these.low), *high = static_cast<V*>(these.high), *others_to = static_cast<V*>(these.other);
  V* undecided = static_cast<V*>(these.undecided);
  const V voxels = static_cast<V>(these.voxels), all = static_cast<V>(count * these.voxels);
  const i64 n = these.n;
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) {
    Key key[count];
    V sure[count], more[count], others = 0;  // more: what a label may have besides what any other may have there
    unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
      constexpr int r = pairs ? j / 2 : j;
      const i64 at = pairs ? 2 * i + j % 2 : i;
      key[j] = label[r][at];
      sure[j] = least[r][at];
      const V left = static_cast<V>(voxels - sure[j]), top = most[r][at], any = others_of[r][at];
      const V other = left < any ? left : any;
      more[j] = static_cast<V>(top - other);
      others = static_cast<V>(others + other);
    });
    V low_of[count], more_of[count];
    unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
      low_of[j] = sure[j];
      more_of[j] = more[j];
    });
    unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
      unrolled<j>([&](auto k) TINYPYR_INLINE_LAMBDA {
        const bool same = key[j] == key[k];
        low_of[j] = static_cast<V>(low_of[j] + (same ? sure[k] : V{0}));
        low_of[k] = static_cast<V>(low_of[k] + (same ? sure[j] : V{0}));
        more_of[j] = static_cast<V>(more_of[j] + (same ? more[k] : V{0}));
        more_of[k] = static_cast<V>(more_of[k] + (same ? more[j] : V{0}));
      });
    });
    Key best = key[0];
    V votes = low_of[0], most_votes = more_of[0];
    unrolled<count - 1>([&](auto j) TINYPYR_INLINE_LAMBDA {
      const bool better = low_of[j + 1] > votes;
      best = better ? key[j + 1] : best;
      most_votes = better ? more_of[j + 1] : most_votes;
      votes = better ? low_of[j + 1] : votes;
    });
    Key runner_up = best;
    V first = 0,
      second = 0;  // the most that one other of these labels may have more than any of the rest, and the next
    unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
      const V its = key[j] == best ? V{0} : more_of[j];
      runner_up = its > first ? key[j] : runner_up;
      first = its > first ? its : first;
    });
    unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
      const V not_best = key[j] == best ? V{0} : more_of[j];
      const V its = key[j] == runner_up ? V{0} : not_best;
      second = its > second ? its : second;
    });
    first = static_cast<V>(first + others);
    second = static_cast<V>(second + others);
    const V left = static_cast<V>(all - votes);
    first = first < left ? first : left;
    second = second < left ? second : left;
    to[i] = static_cast<U>(best);
    runners_up[i] = static_cast<U>(runner_up);
    low[i] = votes;
    high[i] = static_cast<V>(most_votes + others);
    const V who = votes > second ? V{runner_up_left} : V{any_label};
    undecided[i] = votes > first ? V{mode_proven} : who;
    others_to[i] = votes > first ? first : second;  // (but for the runner_up, who is yet to be counted)
  }
}

template <class U>
static void count(const void* from, i64 n, const u64* bits, int labels, i64* votes) {
  const U* voxels = static_cast<const U*>(from);
  for (int label = 0; label < labels; ++label) {
    const U key = static_cast<U>(bits[label]);
    Votes<U> count = 0;
    for (i64 i = 0; i < n; ++i) count = static_cast<Votes<U>>(count + (voxels[i] == key ? 1 : 0));
    votes[label] = count;
  }
}

template <class U>
static void count_beside(const void* from, i64 rows, const void* one, const void* other, void* votes) {
  constexpr i64 n = beside(sizeof(U));
  const U* voxels = static_cast<const U*>(from);
  Votes<U> ones[n], others[n];
  U key[n], runner_up[n];
  __builtin_memcpy(key, one, sizeof(key));
  __builtin_memcpy(runner_up, other, sizeof(runner_up));
  for (i64 i = 0; i < n; ++i) ones[i] = others[i] = 0;
  for (i64 row = 0; row < rows; row += 4, voxels += 4 * n) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      Votes<U> a = 0, b = 0;
      unrolled<4>([&](auto r) TINYPYR_INLINE_LAMBDA {
        a = static_cast<Votes<U>>(a + (voxels[r * n + i] == key[i] ? 1 : 0));
        b = static_cast<Votes<U>>(b + (voxels[r * n + i] == runner_up[i] ? 1 : 0));
      });
      ones[i] = static_cast<Votes<U>>(ones[i] + a);
      others[i] = static_cast<Votes<U>>(others[i] + b);
    }
  }
  __builtin_memcpy(votes, ones, sizeof(ones));
  __builtin_memcpy(static_cast<Votes<U>*>(votes) + n, others, sizeof(others));
}
