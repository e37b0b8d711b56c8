// Modes of a level, proven from bounds of the level below (see mode/vote_bounds.hpp). Included once per instruction
// set, inside its namespace.

// The children of a voxel: the voxels of the level below that it covers.
template <class U, int count>
struct Children {
  using V = Votes<U>;
  using Key = std::make_unsigned_t<V>;  // all lanes have one width

  Key key[count];  // labels
  V least[count];  // fewest votes that the label has, summed over the children with this label
  V more[count];   // votes that the label may have beyond those that any other label may have there, summed likewise
  V others;        // votes that any label may have, summed over all children
};

template <class U, int rows>
struct RowsBelow {
  const U* label[rows];
  const Votes<U>*least[rows], *most[rows], *others[rows];

  TINYPYR_INLINE explicit RowsBelow(const BoundsRow& row) {
    using V = Votes<U>;
    for (int r = 0; r < rows; ++r) {
      label[r] = static_cast<const U*>(row.labels[r]);
      least[r] = static_cast<const V*>(row.least[r]);
      most[r] = static_cast<const V*>(row.most[r]);
      others[r] = static_cast<const V*>(row.others[r]);
    }
  }
};

template <bool pairs, class U, int rows, int count>
TINYPYR_INLINE void read_children(const RowsBelow<U, rows>& below, i64 i, Votes<U> voxels, Children<U, count>& c) {
  using V = Votes<U>;
  c.others = 0;
  unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
    constexpr int r = pairs ? j / 2 : j;
    const i64 at = pairs ? 2 * i + j % 2 : i;
    c.key[j] = below.label[r][at];
    c.least[j] = below.least[r][at];
    const V left = static_cast<V>(voxels - c.least[j]), most = below.most[r][at], any = below.others[r][at];
    const V other = left < any ? left : any;
    c.more[j] = static_cast<V>(most - other);
    c.others = static_cast<V>(c.others + other);
  });
}

// Replace the values of each child by sums over all children with its label.
template <class U, int count>
TINYPYR_INLINE void add_equal_labels(Children<U, count>& c) {
  using V = Votes<U>;
  V least[count], more[count];
  unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
    least[j] = c.least[j];
    more[j] = c.more[j];
  });
  unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
    unrolled<j>([&](auto k) TINYPYR_INLINE_LAMBDA {
      const bool same = c.key[j] == c.key[k];
      least[j] = static_cast<V>(least[j] + (same ? c.least[k] : V{0}));
      least[k] = static_cast<V>(least[k] + (same ? c.least[j] : V{0}));
      more[j] = static_cast<V>(more[j] + (same ? c.more[k] : V{0}));
      more[k] = static_cast<V>(more[k] + (same ? c.more[j] : V{0}));
    });
  });
  unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
    c.least[j] = least[j];
    c.more[j] = more[j];
  });
}

// Return the first label whose fewest votes are the largest.
template <class U, int count>
TINYPYR_INLINE void pick_best(const Children<U, count>& c, typename Children<U, count>::Key& best, Votes<U>& least,
                              Votes<U>& more) {
  best = c.key[0];
  least = c.least[0];
  more = c.more[0];
  unrolled<count - 1>([&](auto j) TINYPYR_INLINE_LAMBDA {
    const bool better = c.least[j + 1] > least;
    best = better ? c.key[j + 1] : best;
    more = better ? c.more[j + 1] : more;
    least = better ? c.least[j + 1] : least;
  });
}

// Find the label other than the best that may have the most votes (`best` if there is none), the votes that it may have
// beyond those that any label may have, and the same number for the next label.
template <class U, int count>
TINYPYR_INLINE void pick_runner_up(const Children<U, count>& c, typename Children<U, count>::Key best,
                                   typename Children<U, count>::Key& runner_up, Votes<U>& first, Votes<U>& second) {
  using V = Votes<U>;
  runner_up = best;
  first = second = 0;
  unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
    const V more = c.key[j] == best ? V{0} : c.more[j];
    runner_up = more > first ? c.key[j] : runner_up;
    first = more > first ? more : first;
  });
  unrolled<count>([&](auto j) TINYPYR_INLINE_LAMBDA {
    const V not_best = c.key[j] == best ? V{0} : c.more[j];
    const V more = c.key[j] == runner_up ? V{0} : not_best;
    second = more > second ? more : second;
  });
}

// The results of a row.
template <class U>
struct BoundsOut {
  using V = Votes<U>;
  U *label, *runner_up;
  V *least, *most, *others, *undecided;

  TINYPYR_INLINE explicit BoundsOut(const BoundsRow& row)
      : label(static_cast<U*>(row.label)),
        runner_up(static_cast<U*>(row.runner_up)),
        least(static_cast<V*>(row.label_least)),
        most(static_cast<V*>(row.label_most)),
        others(static_cast<V*>(row.others_most)),
        undecided(static_cast<V*>(row.undecided)) {}
};

template <bool pairs, class U, int rows>
TINYPYR_INLINE void prove_voxel(const RowsBelow<U, rows>& below, Votes<U> voxels, i64 i, const BoundsOut<U>& out) {
  using V = Votes<U>;
  constexpr int count = pairs ? 2 * rows : rows;
  Children<U, count> c;
  read_children<pairs>(below, i, voxels, c);
  add_equal_labels(c);
  typename Children<U, count>::Key best, runner_up;
  V least, more, first, second;
  pick_best(c, best, least, more);
  pick_runner_up(c, best, runner_up, first, second);
  // No label can have more votes than these leave.
  const V all = static_cast<V>(count * voxels), left = static_cast<V>(all - least);
  first = static_cast<V>(first + c.others);
  second = static_cast<V>(second + c.others);
  first = first < left ? first : left;
  second = second < left ? second : left;
  out.label[i] = static_cast<U>(best);
  out.runner_up[i] = static_cast<U>(runner_up);
  out.least[i] = least;
  out.most[i] = static_cast<V>(more + c.others);
  const V not_proven = least > second ? V{runner_up_left} : V{any_label};
  out.undecided[i] = least > first ? V{mode_proven} : not_proven;
  out.others[i] = least > first ? first : second;  // excludes the runner-up, which is counted later
}

// Compute a row of few voxels.
template <class U, int rows, bool pairs>
TINYPYR_SCALAR static void prove_few(const BoundsRow& row) {
  const RowsBelow<U, rows> below(row);
  const BoundsOut<U> out(row);
  const Votes<U> voxels = static_cast<Votes<U>>(row.voxels);
  for (i64 i = 0; i < row.n; ++i) prove_voxel<pairs>(below, voxels, i, out);
}

// Compute a row of at least `length` voxels, whose labels are as wide as their votes. The loop has a fixed length and so
// no remainder, which would be two thirds of its code: a row's last voxels are computed with some of those before them,
// a second time.
template <class U, int rows, bool pairs, i64 length>
TINYPYR_NOINLINE static void prove_strips(const BoundsRow& row) {
  static_assert(sizeof(U) == sizeof(Votes<U>));
  const RowsBelow<U, rows> below(row);
  const BoundsOut<U> out(row);
  const Votes<U> voxels = static_cast<Votes<U>>(row.voxels);
  for (i64 first = 0; first < row.n; first += length) {
    const i64 at = first + length <= row.n ? first : row.n - length;
    TINYPYR_INDEPENDENT
    for (i64 step = 0; step < length; ++step) prove_voxel<pairs>(below, voxels, at + step, out);
  }
}

template <class To, class From>
TINYPYR_NOINLINE static void convert_labels(const From* from, To* to, i64 n) {
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) to[i] = static_cast<To>(from[i]);
}

// Compute a row of at least `strip` voxels, whose labels are narrower than their votes, by the loops for labels as wide
// as the votes. reach: voxels of a row below per voxel.
template <class U>
TINYPYR_NOINLINE static void prove_widened(const BoundsRow& row, int rows, i64 reach, i64 strip, ProveModes prove) {
  using V = Votes<U>;
  using Key = std::make_unsigned_t<V>;
  constexpr i64 length = 256 / sizeof(V);
  Key labels[8][2 * length], label[length], runner_up[length];
  BoundsRow part = {};
  part.voxels = row.voxels;
  part.label = label;
  part.runner_up = runner_up;
  for (i64 first = 0; first < row.n; first += length) {
    const i64 at = row.n - first < strip ? row.n - strip : first;
    part.n = row.n - at < length ? row.n - at : length;
    for (int r = 0; r < rows; ++r) {
      convert_labels(static_cast<const U*>(row.labels[r]) + at * reach, labels[r], part.n * reach);
      part.labels[r] = labels[r];
      part.least[r] = static_cast<const V*>(row.least[r]) + at * reach;
      part.most[r] = static_cast<const V*>(row.most[r]) + at * reach;
      part.others[r] = static_cast<const V*>(row.others[r]) + at * reach;
    }
    part.label_least = static_cast<V*>(row.label_least) + at;
    part.label_most = static_cast<V*>(row.label_most) + at;
    part.others_most = static_cast<V*>(row.others_most) + at;
    part.undecided = static_cast<V*>(row.undecided) + at;
    prove(part);
    convert_labels(label, static_cast<U*>(row.label) + at, part.n);
    convert_labels(runner_up, static_cast<U*>(row.runner_up) + at, part.n);
  }
}

// Compute a row of at least min_proven(sizeof(U)) voxels.
template <class U, int rows, bool pairs>
static void prove_modes(const BoundsRow& row) {
  using Key = std::make_unsigned_t<Votes<U>>;
  constexpr i64 long_strip = 64 / static_cast<i64>(sizeof(Key)), short_strip = min_proven(sizeof(U));
  const bool is_long = row.n >= long_strip;
  const ProveModes prove =
      is_long ? prove_strips<Key, rows, pairs, long_strip> : prove_strips<Key, rows, pairs, short_strip>;
  if constexpr (sizeof(U) < sizeof(Key))
    prove_widened<U>(row, rows, pairs ? 2 : 1, is_long ? long_strip : short_strip, prove);
  else
    prove(row);
}

template <class U>
static void count_labels(const void* from, i64 n, const u64* bits, int labels, i64* votes) {
  const U* voxels = static_cast<const U*>(from);
  for (int label = 0; label < labels; ++label) {
    const U key = static_cast<U>(bits[label]);
    Votes<U> count = 0;
    for (i64 i = 0; i < n; ++i) count = static_cast<Votes<U>>(count + (voxels[i] == key ? 1 : 0));
    votes[label] = count;
  }
}

template <class U>
static void count_two_columns(const void* from, i64 rows, i64 stride, const void* one, const void* other, void* votes) {
  constexpr i64 n = voxels_per_line(sizeof(U));
  const char* line = static_cast<const char*>(from);
  Votes<U> ones[n], others[n];
  U key[n], other_key[n];
  __builtin_memcpy(key, one, sizeof(key));
  __builtin_memcpy(other_key, other, sizeof(other_key));
  __builtin_memcpy(ones, votes, sizeof(ones));
  __builtin_memcpy(others, static_cast<Votes<U>*>(votes) + n, sizeof(others));
  const auto add = [&](auto count) TINYPYR_INLINE_LAMBDA {
    const U* row[count];
    unrolled<count>([&](auto r) TINYPYR_INLINE_LAMBDA { row[r] = reinterpret_cast<const U*>(line + r * stride); });
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      Votes<U> a = 0, b = 0;
      unrolled<count>([&](auto r) TINYPYR_INLINE_LAMBDA {
        a = static_cast<Votes<U>>(a + (row[r][i] == key[i] ? 1 : 0));
        b = static_cast<Votes<U>>(b + (row[r][i] == other_key[i] ? 1 : 0));
      });
      ones[i] = static_cast<Votes<U>>(ones[i] + a);
      others[i] = static_cast<Votes<U>>(others[i] + b);
    }
    line += count * stride;
  };
  for (; rows >= 4; rows -= 4) add(std::integral_constant<int, 4>{});
  for (; rows > 0; --rows) add(std::integral_constant<int, 1>{});
  __builtin_memcpy(votes, ones, sizeof(ones));
  __builtin_memcpy(static_cast<Votes<U>*>(votes) + n, others, sizeof(others));
}

// Add the votes of two labels in rows of n voxels. (GCC does not vectorise sums of so few.)
template <class U, int n>
TINYPYR_INLINE void count_two_in_known_rows(const char* row, i64 rows, i64 stride, U one, U other, i64* votes) {
  typedef U Voxels __attribute__((vector_size(n * sizeof(U))));
  const Voxels zero = {}, a = zero + one, b = zero + other;
  auto ones = zero == a, others = ones;  // comparisons are -1 where they are true
  ones ^= ones;
  others = ones;
  for (; rows > 0; --rows, row += stride) {
    Voxels voxels;
    __builtin_memcpy(&voxels, row, sizeof(voxels));
    ones += voxels == a;
    others += voxels == b;
  }
  for (int i = 0; i < n; ++i) {
    votes[0] -= ones[i];
    votes[1] -= others[i];
  }
}

template <class U>
static void count_two_in_rows(const void* from, i64 rows, i64 stride, i64 n, u64 one, u64 other, i64* votes) {
  const char* row = static_cast<const char*>(from);
  const U a = static_cast<U>(one), b = static_cast<U>(other);
  if (n == 4) count_two_in_known_rows<U, 4>(row, rows, stride, a, b, votes);
  if (n == 8) count_two_in_known_rows<U, 8>(row, rows, stride, a, b, votes);
  if (n == 16) count_two_in_known_rows<U, 16>(row, rows, stride, a, b, votes);
}
