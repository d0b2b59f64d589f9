#include "kevent.h"

#include <cerrno>
#include <limits>

namespace kevent {
namespace {

constexpr uint32_t kDescriptorNotes = NOTE_LOWAT | NOTE_DRAINED | NOTE_NODATA;
constexpr uint32_t kVnodeNotes = NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK |
                                 NOTE_RENAME | NOTE_OPEN | NOTE_CLOSE | NOTE_CLOSE_WRITE | NOTE_READ;
constexpr uint32_t kTimerUnits = NOTE_SECONDS | NOTE_MSECONDS | NOTE_USECONDS | NOTE_NSECONDS;
constexpr uint32_t kUserNotes = NOTE_FFCTRLMASK | NOTE_FFLAGSMASK | NOTE_TRIGGER;

int CheckTimer(const KEvent& change) {
  if ((change.fflags & ~(kTimerUnits | NOTE_ABSTIME)) != 0) return EINVAL;
  const uint32_t units = change.fflags & kTimerUnits;
  if ((units & (units - 1)) != 0) return EINVAL;  // two units are none
  if ((change.flags & EV_ADD) != 0 && change.data < 0) return EINVAL;
  return 0;
}

// A descriptor, and of an EV_ADD no notes but these: a returned event, used again as a change, has others
// there.
int CheckDescriptor(const KEvent& change, uint32_t notes) {
  if (change.ident < 0 || change.ident > std::numeric_limits<int32_t>::max()) return EBADF;
  const bool adding = (change.flags & (EV_ADD | EV_DELETE)) == EV_ADD;
  return adding && (change.fflags & ~notes) != 0 ? EINVAL : 0;
}

// Of a filter whose fflags say what is asked for.
int CheckWishes(const KEvent& change, uint32_t notes) {
  const bool adding = (change.flags & (EV_ADD | EV_DELETE)) == EV_ADD;
  return adding && (change.fflags == 0 || (change.fflags & ~notes) != 0) ? EINVAL : 0;
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
      return CheckDescriptor(change, kDescriptorNotes | NOTE_FILE_POLL);
    case EVFILT_WRITE:
      return CheckDescriptor(change, kDescriptorNotes);
    case EVFILT_VNODE:
      return CheckDescriptor(change, kVnodeNotes);
    case EVFILT_PROCDESC:
      if (const int error = CheckDescriptor(change, NOTE_EXIT); error != 0) return error;
      return CheckWishes(change, NOTE_EXIT);
    case EVFILT_PROC:
      return CheckWishes(change, NOTE_EXIT);
    case EVFILT_SIGNAL:
      return !deleting && (change.flags & EV_ADD) != 0 && change.fflags != 0 ? EINVAL : 0;
    case EVFILT_FS:
      if (change.ident != 0) return EINVAL;
      return CheckWishes(change, VQ_MOUNT | VQ_UNMOUNT);
    case EVFILT_EMPTY:
      // With EV_CLEAR it would have to be told of the next time that the last byte leaves: nothing tells.
      if ((change.flags & (EV_ADD | EV_CLEAR)) == (EV_ADD | EV_CLEAR)) return EINVAL;
      return CheckDescriptor(change, 0);
    case EVFILT_TIMER:
      return deleting ? 0 : CheckTimer(change);
    case EVFILT_USER:
      return !deleting && (change.fflags & ~kUserNotes) != 0 ? EINVAL : 0;
    default:
      return ENXIO;  // a filter of FreeBSD's that this queue does not have
  }
}

}  // namespace kevent
