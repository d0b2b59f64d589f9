#include "undo.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace restore {
namespace {

// The state is read by another process, once this one is dead, whenever that happens: the store stands before
// the system call that it tells of, and after the one that has been.
void Note(const SharedState& state, uint32_t undo, UndoState value) {
  state.undo[undo].store(static_cast<uint8_t>(value), std::memory_order_release);
}

UndoState StateOf(const SharedState& state, uint32_t undo) {
  return static_cast<UndoState>(state.undo[undo].load(std::memory_order_acquire));
}

// What cannot be looked at counts as there: it is not ours to take away.
bool IsAbsent(const char* path) {
  struct stat status {};
  return lstat(path, &status) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

// Never over a name that somebody has made meanwhile.
int RenameBack(const char* from, const char* to) {
  if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -1;
  // A file system that cannot do it in one step.
  if (!IsAbsent(to)) {
    errno = EEXIST;
    return -1;
  }
  return rename(from, to);
}

int UndoOne(const Program& program, const program::Undo& undo) {
  const char* path = program.blob(undo.a);
  switch (undo.kind) {
    case program::UndoKind::kUnlink:
      return unlink(path);
    case program::UndoKind::kRmdir:
      return rmdir(path);
    case program::UndoKind::kRename:
      return RenameBack(path, program.blob(undo.b));
  }
  return 0;
}

// Whether the program has taken it back itself. Acquire pairs with the release in Task::Done(). An operation
// that was ended between its call and that has left nothing to be found.
bool IsTakenBack(const Program& program, const SharedState& state, const program::Undo& undo) {
  if (undo.until == program::kNever) return false;
  return state.tasks[program.task_of(undo.until)].progress.load(std::memory_order_acquire) > undo.until;
}

}  // namespace

void NoteBegun(const Program& program, const SharedState& state, uint32_t undo) {
  const bool absent = IsAbsent(program.blob(program.undo(undo).a));
  Note(state, undo, absent ? UndoState::kBegunAbsent : UndoState::kBegunPresent);
}

void NoteDone(const SharedState& state, uint32_t undo) {
  if (StateOf(state, undo) == UndoState::kBegunAbsent) Note(state, undo, UndoState::kDone);
}

void NoteFailed(const SharedState& state, uint32_t undo) {
  Note(state, undo, UndoState::kFailed);
}

void UndoAll(const Program& program, const SharedState& state) {
  for (uint32_t index = program.header().undo_count; index-- > 0;) {
    const UndoState before = StateOf(state, index);
    if (before != UndoState::kDone && before != UndoState::kBegunAbsent) continue;
    if (IsTakenBack(program, state, program.undo(index))) continue;
    // ENOENT: the call was never made, or what is behind the barriers has taken the name away.
    if (UndoOne(program, program.undo(index)) == 0 || errno == ENOENT) {
      Note(state, index, UndoState::kFailed);
      continue;
    }
    if (state.header->undo_stuck++ == 0) state.header->undo_error = errno;
    Note(state, index, UndoState::kStuck);
  }
}

}  // namespace restore
