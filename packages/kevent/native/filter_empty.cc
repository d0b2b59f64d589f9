#include "filter_empty.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace kevent {

int EmptyFilter::Attach(Knote* knote, Slot slot) {
  FileStatus file{};
  if (!ReadStatus(static_cast<int>(knote->ident), &file)) return errno;
  if (!S_ISSOCK(file.stx_mode)) return EINVAL;
  std::lock_guard<std::mutex> guard(mutex_);
  sockets_[slot] = file;
  return 0;
}

void EmptyFilter::Detach(const Knote& /*knote*/, Slot slot) {
  std::lock_guard<std::mutex> guard(mutex_);
  sockets_.erase(slot);
}

bool EmptyFilter::IsGone(const Knote& knote, Slot slot) {
  FileStatus now{};
  if (!ReadStatus(static_cast<int>(knote.ident), &now)) return true;
  std::lock_guard<std::mutex> guard(mutex_);
  return !SameFile(sockets_[slot], now);
}

Verdict EmptyFilter::Evaluate(Knote* knote, Slot slot, Level* /*level*/) {
  if (IsGone(*knote, slot)) return Verdict::kGone;
  const auto descriptor = static_cast<int>(knote->ident);
  int queued = 0;
  // A listening socket has no send buffer (EINVAL): it is empty.
  if (ioctl(descriptor, SIOCOUTQ, &queued) < 0) queued = 0;
  return queued == 0 ? Verdict::kDue : Verdict::kNothing;
}

}  // namespace kevent
