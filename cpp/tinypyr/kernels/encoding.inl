// Conversion of voxels between strided memory and rows, and between values and keys. Included once per instruction set,
// inside its namespace (see kernels/kernels.inl).

template <class U>
static void copy_strided(char* to, i64 to_stride, const char* from, i64 from_stride, i64 n) {
  constexpr i64 width = sizeof(U);
  if (to_stride == width && from_stride == width) {
    __builtin_memcpy(to, from, static_cast<size_t>(n * width));
  } else if (sizeof(U) < 8 && to_stride == width && from_stride == 2 * width && n > 1) {
    // Read every other voxel together with a neighbour: with the next one in the first half, with the previous one in
    // the second half, because the neighbours beyond both ends may not exist.
    const auto halves = [&](i64 begin, i64 end, i64 back) TINYPYR_INLINE_LAMBDA {
      for (i64 i = begin; i < end; ++i) {
        const U x = static_cast<U>(load_at<wider<U>>(from + (2 * i - back) * width) >> 8 * back * width);
        __builtin_memcpy(to + i * width, &x, sizeof(U));
      }
    };
    halves(0, n / 2, 0);
    halves(n / 2, n, 1);
  } else {
    for (i64 i = 0; i < n; ++i) {
      const U x = load_at<U>(from + i * from_stride);
      __builtin_memcpy(to + i * to_stride, &x, sizeof(U));
    }
  }
}

static u64 narrow(const char* from, i64 stride, void* to, i64 n, u64 first) {
  u32* row = static_cast<u32*>(to);
  u64 differences = 0;
  if (stride == sizeof(u64)) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) {
      const u64 x = load_at<u64>(from + i * 8);
      row[i] = static_cast<u32>(x);
      differences |= x ^ first;
    }
  } else {
    for (i64 i = 0; i < n; ++i) {
      const u64 x = load_at<u64>(from + i * stride);
      row[i] = static_cast<u32>(x);
      differences |= x ^ first;
    }
  }
  return differences;
}

static void widen(const void* from, i64 n, u64 upper, char* to, i64 stride) {
  const u32* row = static_cast<const u32*>(from);
  const auto write = [&](i64 i, i64 step) TINYPYR_INLINE_LAMBDA {
    const u64 x = row[i] | upper;
    __builtin_memcpy(to + i * step, &x, sizeof(x));
  };
  if (stride == sizeof(u64)) {
    TINYPYR_INDEPENDENT
    for (i64 i = 0; i < n; ++i) write(i, 8);
  } else {
    for (i64 i = 0; i < n; ++i) write(i, stride);
  }
}

template <Kind kind, Encoding encoding, class U>
static void encode_as(const char* from, U* row, i64 n) {
  TINYPYR_INDEPENDENT
  for (i64 i = 0; i < n; ++i) row[i] = to_key<kind, encoding>(load_at<U>(from + i * static_cast<i64>(sizeof(U))));
}

// Encode a contiguous run of voxels; the destination may be the run itself.
template <class U>
static void encode(const void* source, void* start, i64 n, const Codec& codec) {
  const char* from = static_cast<const char*>(source);
  U* row = static_cast<U*>(start);
  if (codec.swapped) {
    for (i64 i = 0; i < n; ++i) row[i] = swap_bytes(load_at<U>(from + i * static_cast<i64>(sizeof(U))));
    from = static_cast<const char*>(start);
  }
  const U remapped = static_cast<U>(codec.remapped);
  if (codec.keys_are_bits()) {
    if (from != start) __builtin_memcpy(row, from, static_cast<size_t>(n) * sizeof(U));
  } else if (codec.kind == Kind::boolean) {
    encode_as<Kind::boolean, Encoding::key>(from, row, n);
  } else if (codec.kind == Kind::signed_integer) {
    encode_as<Kind::signed_integer, Encoding::key>(from, row, n);
  } else if constexpr (sizeof(U) >= 4) {
    if (codec.encoding == Encoding::canonical)
      encode_as<Kind::floating, Encoding::canonical>(from, row, n);
    else
      encode_as<Kind::floating, Encoding::key>(from, row, n);
  }
  if (codec.remap == IgnoreRemap::to_top)
    for (i64 i = 0; i < n; ++i) row[i] = remap_key(row[i], IgnoreRemap::to_top, remapped);
  if (codec.remap == IgnoreRemap::to_bottom)
    for (i64 i = 0; i < n; ++i) row[i] = remap_key(row[i], IgnoreRemap::to_bottom, remapped);
}

template <class U>
static void decode(void* start, i64 n, const Codec& codec) {
  U* row = static_cast<U*>(start);
  const U remapped = static_cast<U>(codec.remapped);
  if (codec.remap == IgnoreRemap::to_top)
    for (i64 i = 0; i < n; ++i) row[i] = undo_remap(row[i], IgnoreRemap::to_top, remapped);
  if (codec.remap == IgnoreRemap::to_bottom)
    for (i64 i = 0; i < n; ++i) row[i] = undo_remap(row[i], IgnoreRemap::to_bottom, remapped);
  if (!codec.keys_are_bits() && codec.kind == Kind::signed_integer)
    for (i64 i = 0; i < n; ++i) row[i] = from_key<Kind::signed_integer>(row[i]);
  if constexpr (sizeof(U) >= 4)
    if (codec.encoding == Encoding::key && codec.kind == Kind::floating)
      for (i64 i = 0; i < n; ++i) row[i] = from_key<Kind::floating>(row[i]);
  if (codec.swapped)
    for (i64 i = 0; i < n; ++i) row[i] = swap_bytes(row[i]);
}
