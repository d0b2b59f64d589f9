#include "state.h"

#include <new>

namespace restore {
namespace {

size_t AfterTasks(const program::Header& header) {
  return sizeof(SharedHeader) + sizeof(SharedTask) * size_t{header.task_count};
}

size_t AfterUndo(const program::Header& header) {
  return AfterTasks(header) + (size_t{header.undo_count} + 7) / 8 * 8;
}

}  // namespace

size_t SharedState::SizeFor(const program::Header& header) {
  return AfterUndo(header) + sizeof(SlotNumber) * size_t{header.slot_count};
}

size_t SharedState::LastingSize(const program::Header& header) {
  return AfterTasks(header);
}

// The file was made of zeros, which is the first value of every word: nothing is constructed in it.
void SharedState::Lay(void* base, const program::Header& program) {
  auto* bytes = static_cast<std::byte*>(base);
  header = reinterpret_cast<SharedHeader*>(bytes);
  tasks = reinterpret_cast<SharedTask*>(bytes + sizeof(SharedHeader));
  undo = reinterpret_cast<UndoByte*>(bytes + AfterTasks(program));
  slots = reinterpret_cast<SlotNumber*>(bytes + AfterUndo(program));
  size = SizeFor(program);
}

void SharedState::Fail(FailureKind kind, uint32_t task, uint32_t op, uint32_t call, int error,
                       int64_t detail) const {
  Failure& failure = header->failure;
  if (failure.claimed.exchange(1, std::memory_order_relaxed) != 0) return;
  failure.task = task;
  failure.op = op;
  failure.call = call;
  failure.error = error;
  failure.detail = detail;
  // Pairs with the acquire in failed(): whoever sees the kind sees the rest.
  failure.kind.store(static_cast<uint32_t>(kind), std::memory_order_release);
}

bool SharedState::failed() const {
  return header->failure.kind.load(std::memory_order_acquire) != 0;
}

}  // namespace restore
