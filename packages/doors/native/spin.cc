#include "spin.h"

#include <sched.h>

#include <algorithm>

namespace doors {
namespace {

// Of this thread, where there may be more than a cpu_set_t has: they are more than one then.
bool HasOneProcessor() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < 2;
}

}  // namespace

bool Spin::Wanted() {
  if (look_ == 0) {
    look_ = kLookAgain;
    alone_ = HasOneProcessor();
  }
  --look_;
  if (alone_) return false;
  if (rest_ == 0) return true;
  --rest_;
  return false;
}

void Spin::Succeeded() {
  failures_ = 0;
  next_rest_ = kFirstRest;
}

void Spin::Failed() {
  if (++failures_ < kMostFailures) return;
  failures_ = 0;
  rest_ = next_rest_;
  next_rest_ = std::min(2 * next_rest_, kLastRest);
}

}  // namespace doors
