// EVFILT_PROC and EVFILT_PROCDESC: the end of a process, by pidfd_open(2).
#ifndef X_KEVENT_FILTER_PROCESS_H_
#define X_KEVENT_FILTER_PROCESS_H_

#include <sys/types.h>

#include <map>
#include <mutex>

#include "descriptor.h"
#include "filter.h"

namespace kevent {

class ProcessFilter final : public Filter {
 public:
  explicit ProcessFilter(int epoll) : epoll_(epoll) {}

  int Attach(Knote* knote, Slot slot) override;
  void Detach(const Knote& knote, Slot slot) override;
  bool IsGone(const Knote& knote, Slot slot) override;
  Verdict Evaluate(Knote* knote, Slot slot, Level* level) override;

 private:
  int ProcessFor(Slot slot);

  const int epoll_;
  std::mutex mutex_;
  // The queue's own: of EVFILT_PROC opened by it, of EVFILT_PROCDESC a duplicate, so that it neither shares
  // an epoll registration with an EVFILT_READ of the same descriptor nor depends on who closes that.
  std::map<Slot, Descriptor> processes_;  // guarded by mutex_
};

}  // namespace kevent

#endif  // X_KEVENT_FILTER_PROCESS_H_
