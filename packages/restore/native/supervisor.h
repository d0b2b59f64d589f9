// The process that the caller has started. It runs no operation, so it is never busy: it waits for the
// caller's word and for the tasks, and it alone decides whether they stay.
#pragma once

#include <cstddef>

#include "decoder.h"
#include "state.h"
#include "task.h"

namespace restore {

// From the caller.
inline constexpr char kCommit = 'C';
inline constexpr char kRollBack = 'R';
// To the caller. What has failed is in the state.
inline constexpr char kReady = 'r';
inline constexpr char kHeld = 'h';
inline constexpr char kRolledBack = 'f';

struct Files {
  const void* program;
  size_t program_size;
  int control;  // a stream socket, at no reserved number
};

// Runs the program. Returns the exit status: 0 when all tasks are held.
int Supervise(const Program& program, const SharedState& state, const Files& files);

// After the supervisor of a run has died: what it would have done when something fails. Returns the exit
// status.
int CleanUp(const Program& program, const SharedState& state, int control);

}  // namespace restore
