// Signals while a restore runs.
#pragma once

#include "state.h"

namespace restore {

// All actions default, none blocked, as a program that is started anew has them.
void ResetSignals();
// What a task sets up, and its children inherit: what other processes, terminals and pipes send does not end
// it, and the death of a child is told in `state` and ends it, so that its own parent learns of it, up to the
// helper.
void WatchChildren(const SharedState& state, uint32_t task_count);
// Default actions again, of the signals that WatchChildren() has changed.
void UnwatchChildren();

}  // namespace restore
