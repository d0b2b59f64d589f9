// What a restore made in the file system, and how it is taken away again. Each operation with an entry in the
// undo table notes its state before and after; a name that was there before is never touched.
#pragma once

#include <cstdint>

#include "decoder.h"
#include "state.h"

namespace restore {

// Before the operation: notes whether the name is there already.
void NoteBegun(const Program& program, const SharedState& state, uint32_t undo);
// Its system call has made the name.
void NoteDone(const SharedState& state, uint32_t undo);
// Its system call has made nothing.
void NoteFailed(const SharedState& state, uint32_t undo);

// Takes away, last first, whatever was made. All tasks are dead. May be repeated, by another process, too.
void UndoAll(const Program& program, const SharedState& state);

}  // namespace restore
