// EVFILT_EMPTY: a socket's send buffer is empty.
#ifndef X_KEVENT_FILTER_EMPTY_H_
#define X_KEVENT_FILTER_EMPTY_H_

#include <map>
#include <mutex>

#include "file_status.h"
#include "filter.h"

namespace kevent {

// Linux reports no edge when the last byte leaves. The queue looks again at a knote that waits, by its
// timers; see Queue::LookAgain.
class EmptyFilter final : public Filter {
 public:
  int Attach(Knote* knote, Slot slot) override;
  void Detach(const Knote& knote, Slot slot) override;
  bool IsGone(const Knote& knote, Slot slot) override;
  Verdict Evaluate(Knote* knote, Slot slot, Level* level) override;

 private:
  std::mutex mutex_;
  std::map<Slot, FileStatus> sockets_;  // guarded by mutex_
};

}  // namespace kevent

#endif  // X_KEVENT_FILTER_EMPTY_H_
