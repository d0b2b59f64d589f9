#include "kevent.h"

#include <cerrno>
#include <limits>

namespace kevent {
namespace {

constexpr uint32_t kDescriptorNotes = NOTE_LOWAT | NOTE_DRAINED | NOTE_NODATA;
constexpr uint32_t kTimerUnits = NOTE_SECONDS | NOTE_MSECONDS | NOTE_USECONDS | NOTE_NSECONDS;
constexpr uint32_t kUserNotes = NOTE_FFCTRLMASK | NOTE_FFLAGSMASK | NOTE_TRIGGER;

int CheckTimer(const KEvent& change) {
  if ((change.fflags & ~(kTimerUnits | NOTE_ABSTIME)) != 0) return EINVAL;
  const uint32_t units = change.fflags & kTimerUnits;
  if ((units & (units - 1)) != 0) return EINVAL;  // two units are none
  if ((change.flags & EV_ADD) != 0 && change.data < 0) return EINVAL;
  return 0;
}

}  // namespace

int CheckChange(const KEvent& change) {
  if (change.filter > 0 || change.filter < EVFILT_LAST) return EINVAL;
  if ((change.flags & EV_UNKNOWN) != 0) return EINVAL;
  if ((change.flags & (EV_ENABLE | EV_DISABLE)) == (EV_ENABLE | EV_DISABLE)) return EINVAL;
  if ((change.flags & (EV_ADD | EV_KEEPUDATA)) == (EV_ADD | EV_KEEPUDATA)) return EINVAL;
  // Of an EV_DELETE nothing but the name, and NOTE_DEFER, is looked at.
  const bool deleting = (change.flags & EV_DELETE) != 0;
  switch (change.filter) {
    case EVFILT_READ:
    case EVFILT_WRITE:
      // The two share a record by descriptor, a 32-bit number.
      if (change.ident < 0 || change.ident > std::numeric_limits<int32_t>::max()) return EBADF;
      // A returned event, used again as a change, has the socket's error there: only an EV_ADD must be right.
      return (change.flags & EV_ADD) != 0 && !deleting && (change.fflags & ~kDescriptorNotes) != 0 ? EINVAL
                                                                                                   : 0;
    case EVFILT_TIMER:
      return deleting ? 0 : CheckTimer(change);
    case EVFILT_USER:
      return !deleting && (change.fflags & ~kUserNotes) != 0 ? EINVAL : 0;
    default:
      return ENXIO;  // a filter of FreeBSD's that this queue does not have
  }
}

}  // namespace kevent
