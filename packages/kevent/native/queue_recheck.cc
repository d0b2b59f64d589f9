// The levels of knotes that a changelist enables.
#include <poll.h>

#include <cerrno>

#include "recheck.h"

namespace kevent {

// One poll(2) for all: those that are ready become active. A descriptor that is not open any more is
// reported as EBADF, and its knotes are removed. Returns the number of errors written; `failed` gets the
// first one that there was no room for.
int Queue::ReadLevels(Recheck* recheck, KEvent* errors, int room, int* failed) {
  int written = 0;
  int ready = 0;
  do {
    ready = poll(recheck->polls, static_cast<nfds_t>(recheck->count), 0);
  } while (ready < 0 && errno == EINTR);
  for (int index = 0; index < recheck->count; index++) {
    const pollfd& looked = recheck->polls[index];
    // Where poll(2) itself failed (ENOMEM, or EINVAL with a tiny RLIMIT_NOFILE), all count as ready: the
    // claim looks again.
    const int seen = ready < 0 ? looked.events : looked.revents;
    const Slot slot = recheck->slots[index];
    const KEvent& change = recheck->changes[index];
    const bool closed = (seen & POLLNVAL) != 0;
    // NOTE_NODATA promises not to look.
    const bool another = !closed && (change.fflags & NOTE_NODATA) == 0 && IsAnother(change.ident, slot);
    if (closed || another) {
      if (!DetachStale(static_cast<int>(change.ident), slot, recheck->generations[index])) continue;
      const int error = closed ? EBADF : ENOENT;
      if (written < room) {
        errors[written++] = {change.ident, change.filter, EV_ERROR, 0, error, change.udata};
      } else if (*failed == 0) {
        *failed = error;
      }
      continue;
    }
    if (seen == 0) continue;
    const uint32_t more =
        ((seen & recheck->EndOf(index)) != 0 ? kSawEof : 0) | ((seen & POLLERR) != 0 ? kSawError : 0);
    if (knotes_.At(slot)->Activate(recheck->generations[index], more)) {
      ready_.Push(slot);
      recheck->pushed++;
    }
  }
  recheck->count = 0;
  return written;
}

void Queue::WakeFor(const Recheck& recheck) {
  for (int index = 0; index < recheck.pushed; index++) WakeOne();
}

}  // namespace kevent
