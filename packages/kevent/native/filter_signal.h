// EVFILT_SIGNAL: counts of signals, from signal_watch.
#ifndef X_KEVENT_FILTER_SIGNAL_H_
#define X_KEVENT_FILTER_SIGNAL_H_

#include <atomic>
#include <map>
#include <mutex>

#include "descriptor.h"
#include "filter.h"

namespace kevent {

class SignalFilter final : public Filter {
 public:
  explicit SignalFilter(int epoll) : epoll_(epoll) {}
  ~SignalFilter() override;

  int Attach(Knote* knote, Slot slot) override;
  void Detach(const Knote& knote, Slot slot) override;
  int Readjust(const Knote& knote, Slot slot) override;
  Verdict Evaluate(Knote* knote, Slot slot, Level* level) override;
  void Collect(std::vector<Occurrence>* found) override;
  bool Note(Knote* knote, int64_t what) override;

  // Whether there are knotes; asked before each wait.
  bool any() const { return any_.load(std::memory_order_relaxed); }
  // Before a wait: others may have put themselves in our handlers' places.
  void Restore();

 private:
  struct Watcher {
    uint32_t generation;
    int signal;
    uint64_t counted;
  };

  int Open();
  void ListenToBlocked();
  static int64_t TakeNew(Watcher* watcher);

  const int epoll_;
  std::mutex mutex_;
  std::map<Slot, Watcher> watchers_;  // guarded by mutex_
  bool registered_ = false;           // guarded by mutex_: the process's eventfd, in epoll_
  Descriptor blocked_;                // guarded by mutex_: a signalfd, readable when a signal stays pending
  std::atomic<bool> any_{false};      // a hint: a thread's own change is seen by its next wait
};

}  // namespace kevent

#endif  // X_KEVENT_FILTER_SIGNAL_H_
