// The calls of a session that were taken and have no reply yet.
#ifndef X_DOORS_RUNNING_CALLS_H_
#define X_DOORS_RUNNING_CALLS_H_

#include <cstdint>

#include "packet.h"

namespace doors {

struct RunningCall {
  uint32_t sequence;
  int thread;      // that runs it
  bool cancelled;  // nobody waits for its reply
};

class RunningCalls {
 public:
  uint32_t count() const { return count_; }
  const RunningCall& at(uint32_t index) const { return calls_[index]; }

  // Null when no such call runs.
  const RunningCall* Find(uint32_t sequence) const {
    for (uint32_t i = 0; i < count_; ++i) {
      if (calls_[i].sequence == sequence) return &calls_[i];
    }
    return nullptr;
  }

  // False when no such call runs.
  bool Cancel(uint32_t sequence) {
    const RunningCall* call = Find(sequence);
    if (call != nullptr) calls_[call - calls_].cancelled = true;
    return call != nullptr;
  }

  // There is room for kMostCalls.
  void Add(uint32_t sequence, int thread) { calls_[count_++] = {sequence, thread, false}; }
  void Remove(const RunningCall* call) { calls_[call - calls_] = calls_[--count_]; }

 private:
  RunningCall calls_[kMostCalls];
  uint32_t count_ = 0;
};

}  // namespace doors

#endif  // X_DOORS_RUNNING_CALLS_H_
