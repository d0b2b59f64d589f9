// What the queue asks of a filter whose events do not come from an epoll registration of the watched
// descriptor itself. READ and WRITE of what epoll can watch, USER and TIMER are the queue's own.
#ifndef X_KEVENT_FILTER_H_
#define X_KEVENT_FILTER_H_

#include <cstdint>
#include <vector>

#include "kevent.h"
#include "knote.h"

namespace kevent {

// What an event says beside its name.
struct Level {
  int64_t data = 0;
  uint32_t fflags = 0;
  bool eof = false;
};

enum class Verdict {
  kNothing,
  kDue,
  kLater,  // cannot be told at this moment
  kGone,   // what was watched is not there any more: the knote goes without an event, as at close(2)
};

// Something has happened to a knote; `what` is for the filter that found it.
struct Occurrence {
  Slot slot;
  uint32_t generation;
  int64_t what;
};

// One per queue and kind. Each has a lock of its own, taken after a knote's and never held while one is
// taken.
class Filter {
 public:
  Filter() = default;
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  virtual ~Filter() = default;

  // A new, locked knote: finds its source, or says with an errno why not.
  virtual int Attach(Knote* knote, Slot slot) = 0;
  // The locked knote goes.
  virtual void Detach(const Knote& knote, Slot slot) = 0;
  // An EV_ADD has changed the fflags of a locked knote. Returns 0 or an errno.
  virtual int Readjust(const Knote& /*knote*/, Slot /*slot*/) { return 0; }
  // Whether the descriptor that names a locked knote is closed, or another file's by now.
  virtual bool IsGone(const Knote& /*knote*/, Slot /*slot*/) { return false; }
  // Of a locked knote: whether it is due now.
  virtual Verdict Evaluate(Knote* knote, Slot slot, Level* level) = 0;
  // The filter's descriptor is readable: appends what it tells. No knote is locked.
  virtual void Collect(std::vector<Occurrence>* /*found*/) {}
  // One of these, to its locked knote. False: it did not ask for that.
  virtual bool Note(Knote* /*knote*/, int64_t /*what*/) { return true; }
};

}  // namespace kevent

#endif  // X_KEVENT_FILTER_H_
