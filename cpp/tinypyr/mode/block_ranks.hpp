// The labels of a block, numbered in the order in which they occur among its entries.
#pragma once

#include <cstring>

#include "../core/problem.hpp"
#include "../tinypyr.hpp"
#include "block_entries.hpp"

namespace tinypyr {

// Order of calls: start, once per problem; then, for each block, rank and everything else.
class BlockRanks {
 public:
  BlockRanks(const Options& options, u64 ignore) : has_ignore_(options.has_ignore), ignore_(ignore) {}

  void start(const Problem& problem) {
    problem_ = &problem;
    ignore_value_ = ignore_;
    if (!problem.codec.is_identity()) problem.rows().decode(&ignore_value_, 1, problem.codec);
  }

  // Give each entry the code of its label. Return false if there are more than max_ranks labels.
  bool rank(const BlockShape& shape, BlockEntries& entries) {
    const Problem& p = *problem_;
    const bool identity = p.codec.is_identity();
    const i64 n = entries.count(shape);
    if (!identity) p.rows().encode(entries.label, entries.label, n, p.codec);
    const u64* const ignore = has_ignore_ ? &ignore_ : nullptr;
    const int ranks = p.rows().rank_labels(entries.label, n, entries.code, ignore, max_ranks, key_);
    if (ranks > max_ranks) return false;
    count_ = ranks;
    value_[ranks] = ignore_value_;
    for (int r = 0; r < ranks; ++r) {
      value_[r] = key_[r];
      if (!identity) p.rows().decode(&value_[r], 1, p.codec);
    }
    return true;
  }

  int count() const { return count_; }
  // Return the label of a rank in the encoding in which labels are compared.
  u64 key(int rank) const { return key_[rank]; }
  // The labels by rank as voxels, followed by the voxel for footprints in which no voxel counts.
  const u64* values() const { return value_; }

  // Return true if every entry that exists counts, and has the same label.
  bool has_one_label(const BlockShape& shape, const BlockEntries& entries) const {
    return count_ == 1 && entries.mixed_count == 0 &&
           (!has_ignore_ || std::memchr(entries.code, code_none, static_cast<std::size_t>(shape.cells)) == nullptr);
  }

 private:
  const bool has_ignore_;
  const u64 ignore_;
  u64 ignore_value_ = 0;
  const Problem* problem_ = nullptr;
  int count_ = 0;
  u64 key_[max_ranks + 1], value_[max_ranks + 1];
};

}  // namespace tinypyr
