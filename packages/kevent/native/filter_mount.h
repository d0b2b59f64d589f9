// EVFILT_FS: the table of mounted file systems.
#ifndef X_KEVENT_FILTER_MOUNT_H_
#define X_KEVENT_FILTER_MOUNT_H_

#include <map>
#include <mutex>
#include <set>

#include "descriptor.h"
#include "filter.h"

namespace kevent {

class MountFilter final : public Filter {
 public:
  explicit MountFilter(int epoll) : epoll_(epoll) {}

  int Attach(Knote* knote, Slot slot) override;
  void Detach(const Knote& knote, Slot slot) override;
  Verdict Evaluate(Knote* knote, Slot slot, Level* level) override;
  void Collect(std::vector<Occurrence>* found) override;
  bool Note(Knote* knote, int64_t what) override;

 private:
  bool ReadTable(std::set<long>* mounts);

  const int epoll_;
  std::mutex mutex_;
  Descriptor table_;                   // guarded by mutex_
  std::set<long> mounts_;              // guarded by mutex_: their ids, as last read
  std::map<Slot, uint32_t> watchers_;  // guarded by mutex_: generation by slot
};

}  // namespace kevent

#endif  // X_KEVENT_FILTER_MOUNT_H_
