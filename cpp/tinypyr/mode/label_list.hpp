// Labels of a footprint with their votes: the accumulator of the multi-level mode.
#pragma once

#include <algorithm>

#include "../core/arena.hpp"
#include "../kernels/table.hpp"

namespace tinypyr {

// A label with its votes. position: position of its first voxel, in raster order with the caller's axis 0 fastest.
struct Label {
  u64 key;
  i64 votes, position;
};

// Limit of the labels in a list that the level above receives. Modes that a dropped label may have changed are counted
// as not proven (LabelList::lost).
constexpr i64 max_labels = 1024;

class LabelList {
 public:
  LabelList() = default;
  LabelList(const LabelList&) = delete;
  LabelList& operator=(const LabelList&) = delete;

  void clear() { size_ = lost_ = 0; }
  i64 size() const { return size_; }
  // The most votes that one label may have lost because it was dropped from a list.
  i64 lost() const { return lost_; }
  const Label* begin() const { return labels(); }
  const Label* end() const { return labels() + size_; }

  // Append a label without a search for an equal one. Return false if memory runs out.
  bool append(const Label& label) {
    if (!reserve(size_ + 1)) return false;
    labels()[size_++] = label;
    return true;
  }

  void sort() {
    std::sort(labels(), labels() + size_, [](const Label& a, const Label& b) { return a.key < b.key; });
  }

  // Sort by key, and merge labels with equal keys.
  void merge_equal() {
    std::sort(labels(), labels() + size_,
              [](const Label& a, const Label& b) { return a.key != b.key ? a.key < b.key : a.position < b.position; });
    i64 kept = 0;
    for (i64 i = 0; i < size_; ++i) {
      if (kept > 0 && labels()[kept - 1].key == labels()[i].key)
        labels()[kept - 1].votes += labels()[i].votes;
      else
        labels()[kept++] = labels()[i];
    }
    size_ = kept;
  }

  // Merge another list into this one, both sorted: votes are added, and the smaller position remains. Return false if
  // memory runs out.
  bool merge(const LabelList& other) {
    lost_ += other.lost_;
    if (other.size_ == 1 && size_ == 1 && labels()[0].key == other.labels()[0].key) {
      labels()[0].votes += other.labels()[0].votes;
      labels()[0].position = std::min(labels()[0].position, other.labels()[0].position);
      return true;
    }
    if (!spare_.reserve((size_ + other.size_) * static_cast<i64>(sizeof(Label)))) return false;
    Label* merged = reinterpret_cast<Label*>(spare_.data());
    const Label *a = begin(), *b = other.begin();
    i64 count = 0;
    while (a != end() || b != other.end()) {
      if (b == other.end() || (a != end() && a->key < b->key)) {
        merged[count++] = *a++;
      } else if (a == end() || b->key < a->key) {
        merged[count++] = *b++;
      } else {
        merged[count++] = {a->key, a->votes + b->votes, std::min(a->position, b->position)};
        ++a;
        ++b;
      }
    }
    memory_.swap(spare_);
    size_ = count;
    if (size_ > 8 * max_labels) truncate();
    return true;
  }

  // Drop all but the max_labels labels with the most votes.
  void truncate() {
    if (size_ <= max_labels) return;
    std::nth_element(labels(), labels() + max_labels, labels() + size_, [](const Label& a, const Label& b) {
      return a.votes != b.votes ? a.votes > b.votes : a.position < b.position;
    });
    lost_ += labels()[max_labels].votes;  // the most votes among the dropped labels
    size_ = max_labels;
    sort();
  }

 private:
  Label* labels() const { return reinterpret_cast<Label*>(memory_.data()); }

  // Make room for this many labels, and preserve the present ones.
  bool reserve(i64 count) {
    const i64 bytes = count * static_cast<i64>(sizeof(Label));
    if (bytes <= memory_.size()) return true;
    if (!spare_.reserve(2 * bytes)) return false;
    std::copy(begin(), end(), reinterpret_cast<Label*>(spare_.data()));
    memory_.swap(spare_);
    return true;
  }

  Arena memory_, spare_;
  i64 size_ = 0, lost_ = 0;
};

}  // namespace tinypyr
