// The ready queue when far more knotes are due than its ring holds.
#include "ready_queue.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "check.h"

using kevent::kLive;
using kevent::KnoteTable;
using kevent::kQueued;
using kevent::kSpilled;
using kevent::ReadyQueue;
using kevent::Slot;

namespace {

constexpr size_t kCells = 4;

std::vector<Slot> Make(KnoteTable* knotes, int count) {
  std::vector<Slot> slots;
  for (int index = 0; index < count; index++) {
    slots.push_back(knotes->Allocate());
    CHECK(slots.back() != 0);
    knotes->At(slots.back())->Update(kLive, 0);
  }
  return slots;
}

void Push(KnoteTable* knotes, ReadyQueue* ready, Slot slot) {
  knotes->At(slot)->Update(kQueued, 0);
  ready->Push(slot);
}

// M2 beyond the ring: in every pass each knote comes once, though each goes back at once.
void GoesRound() {
  KnoteTable knotes;
  ReadyQueue ready(&knotes, kCells);
  constexpr size_t kKnotes = 37;
  const std::vector<Slot> slots = Make(&knotes, kKnotes);
  for (const Slot slot : slots) Push(&knotes, &ready, slot);
  for (int pass = 0; pass < 1000; pass++) {
    CHECK(ready.Size() == kKnotes);
    size_t budget = ready.Pass();
    CHECK(budget == kKnotes);
    std::vector<bool> seen(kKnotes + 1);
    for (; budget > 0; budget--) {
      Slot slot = 0;
      CHECK(ready.Pop(&slot));
      CHECK(!seen[slot]);
      seen[slot] = true;
      CHECK((knotes.At(slot)->Now() & kSpilled) == 0);
      Push(&knotes, &ready, slot);
    }
  }
}

// Whatever a pass takes, what was there before comes before what was pushed after.
void KeepsOrder() {
  KnoteTable knotes;
  ReadyQueue ready(&knotes, kCells);
  constexpr size_t kKnotes = 50;
  const std::vector<Slot> slots = Make(&knotes, kKnotes);
  for (const Slot slot : slots) Push(&knotes, &ready, slot);
  std::vector<size_t> times(kKnotes + 1);
  for (size_t popped = 0; popped < 100 * kKnotes;) {
    for (size_t budget = std::min<size_t>(ready.Pass(), 3); budget > 0; budget--, popped++) {
      Slot slot = 0;
      CHECK(ready.Pop(&slot));
      times[slot]++;
      for (const Slot other : slots) CHECK(times[slot] <= times[other] + 2);
      Push(&knotes, &ready, slot);
    }
  }
}

// What is dropped while it is spilled is popped all the same, for whoever pops it to free its slot.
void KeepsTheDropped() {
  KnoteTable knotes;
  ReadyQueue ready(&knotes, kCells);
  const std::vector<Slot> slots = Make(&knotes, 10);
  for (const Slot slot : slots) Push(&knotes, &ready, slot);
  for (const Slot slot : slots) {
    knotes.At(slot)->Lock();
    knotes.At(slot)->Drop();
    knotes.At(slot)->Update(0, kevent::kLocked);
  }
  size_t popped = 0;
  Slot slot = 0;
  while (ready.Pass() > 0) {
    while (ready.Pop(&slot)) {
      CHECK((knotes.At(slot)->Now() & (kLive | kSpilled)) == 0);
      popped++;
    }
  }
  CHECK(popped == slots.size() && ready.Size() == 0);
}

// Every push is popped exactly once, by one of the threads that push and pop at the same time.
void LosesNone(int threads) {
  KnoteTable knotes;
  ReadyQueue ready(&knotes, kCells);
  const std::vector<Slot> slots = Make(&knotes, 64);
  std::vector<std::atomic<int>> held(slots.size() + 1);
  std::atomic<long> rounds{0};
  constexpr long kRounds = 20000;
  for (const Slot slot : slots) Push(&knotes, &ready, slot);
  std::vector<std::thread> workers;
  for (int index = 0; index < threads; index++) {
    workers.emplace_back([&] {
      while (rounds.load() < kRounds) {
        size_t budget = ready.Pass();
        Slot slot = 0;
        while (budget-- > 0 && ready.Pop(&slot)) {
          CHECK(held[slot].exchange(1) == 0);
          rounds.fetch_add(1);
          held[slot].store(0);
          Push(&knotes, &ready, slot);
        }
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  CHECK(ready.Size() == slots.size());
  std::vector<bool> found(slots.size() + 1);
  for (size_t left = slots.size(); left > 0;) {
    Slot slot = 0;
    CHECK(ready.Pass() > 0);
    while (ready.Pop(&slot)) {
      CHECK(!found[slot]);
      found[slot] = true;
      left--;
    }
  }
}

}  // namespace

int main() {
  GoesRound();
  KeepsOrder();
  KeepsTheDropped();
  for (const int threads : {2, 4, 8}) LosesNone(threads);
  return 0;
}
