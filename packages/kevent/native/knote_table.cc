#include "knote_table.h"

#include <new>

namespace kevent {

KnoteTable::~KnoteTable() {
  for (auto& slab : slabs_) delete[] slab.load(std::memory_order_relaxed);
}

Slot KnoteTable::Allocate() {
  std::lock_guard<std::mutex> guard(mutex_);
  if (free_ == 0 && !AddSlab()) return 0;
  const Slot slot = free_;
  free_ = At(slot)->link;
  return slot;
}

bool KnoteTable::AddSlab() {
  const Slot index = limit_.load(std::memory_order_relaxed) / kSlabKnotes;
  if (index >= kSlabs) return false;
  auto* slab = new (std::nothrow) Knote[kSlabKnotes];
  if (slab == nullptr) return false;
  // Chained so that low slots are handed out first; slot 0 means none and is never handed out.
  const Slot first = index * kSlabKnotes;
  for (Slot offset = kSlabKnotes; offset-- > (index == 0 ? 1u : 0u);) {
    slab[offset].link = free_;
    free_ = first + offset;
  }
  slabs_[index].store(slab, std::memory_order_release);  // pairs with the acquire in At
  limit_.store(first + kSlabKnotes, std::memory_order_release);
  return true;
}

void KnoteTable::Free(Slot slot) {
  std::lock_guard<std::mutex> guard(mutex_);
  At(slot)->link = free_;
  free_ = slot;
}

DescriptorTable::~DescriptorTable() {
  for (auto& chunk : chunks_) delete[] chunk.load(std::memory_order_relaxed);
}

DescriptorRecord* DescriptorTable::Find(int64_t descriptor) const {
  if (descriptor < 0 || descriptor >= kChunks * kChunkRecords) return nullptr;
  // Acquire pairs with the release in FindOrMake.
  DescriptorRecord* chunk = chunks_[descriptor / kChunkRecords].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : &chunk[descriptor % kChunkRecords];
}

DescriptorRecord* DescriptorTable::FindOrMake(int64_t descriptor) {
  if (descriptor < 0 || descriptor >= kChunks * kChunkRecords) return nullptr;
  if (DescriptorRecord* found = Find(descriptor)) return found;
  auto& place = chunks_[descriptor / kChunkRecords];
  auto* made = new (std::nothrow) DescriptorRecord[kChunkRecords];
  if (made == nullptr) return nullptr;
  DescriptorRecord* seen = nullptr;
  if (!place.compare_exchange_strong(seen, made, std::memory_order_acq_rel)) delete[] made;
  return Find(descriptor);
}

}  // namespace kevent
