// Enabled knotes of a changelist whose level is read together.
#ifndef X_KEVENT_RECHECK_H_
#define X_KEVENT_RECHECK_H_

#include <poll.h>

#include "queue.h"

namespace kevent {

// One poll(2) for a changelist of EV_ENABLE costs a sixth of one each.
struct Queue::Recheck {
  static constexpr int kMost = 64;

  bool Full() const { return count == kMost; }
  // What says that the other end is gone, to a reader or to a writer.
  int EndOf(int index) const {
    return changes[index].filter == EVFILT_READ ? POLLHUP | POLLRDHUP : POLLHUP | POLLERR;
  }
  void Add(Slot slot, const Knote& knote, const KEvent& change) {
    slots[count] = slot;
    generations[count] = knote.generation();
    changes[count] = change;
    const bool read = knote.filter() == EVFILT_READ;
    polls[count] = {static_cast<int>(knote.ident), static_cast<short>(read ? POLLIN | POLLRDHUP : POLLOUT),
                    0};
    count++;
  }

  int count = 0;
  int pushed = 0;  // found ready, and in the ring: nobody has been woken for them
  Slot slots[kMost];
  uint32_t generations[kMost];
  KEvent changes[kMost];
  pollfd polls[kMost];
};

}  // namespace kevent

#endif  // X_KEVENT_RECHECK_H_
