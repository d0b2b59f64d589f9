// EVFILT_VNODE, and EVFILT_READ of regular files, which epoll refuses: one inotify instance for a queue.
#ifndef X_KEVENT_FILTER_VNODE_H_
#define X_KEVENT_FILTER_VNODE_H_

#include <map>
#include <mutex>
#include <vector>

#include "descriptor.h"
#include "file_status.h"
#include "filter.h"

struct inotify_event;

namespace kevent {

class VnodeFilter final : public Filter {
 public:
  explicit VnodeFilter(int epoll) : epoll_(epoll) {}

  int Attach(Knote* knote, Slot slot) override;
  void Detach(const Knote& knote, Slot slot) override;
  int Readjust(const Knote& knote, Slot slot) override;
  bool IsGone(const Knote& knote, Slot slot) override;
  Verdict Evaluate(Knote* knote, Slot slot, Level* level) override;
  void Collect(std::vector<Occurrence>* found) override;
  bool Note(Knote* knote, int64_t what) override;

 private:
  // A knote's share in the watches, which inotify keeps by file: two knotes of one file share a watch.
  struct File {
    uint32_t generation = 0;
    int descriptor = -1;
    uint32_t interest = 0;  // inotify bits of the file's own watch
    int watch = -1;
    int parent_watch = -1;  // of a directory that wants NOTE_DELETE
    FileStatus seen{};      // as of the last event told
  };
  // What one reading of inotify has told about a knote's file.
  struct News {
    uint32_t notes = 0;
    bool attributes = false;  // or the count of links: inotify does not tell them apart
    bool moved_directory = false;
  };
  struct Move {
    int watch;
    uint32_t cookie;
    bool directory;
  };
  struct Reading {
    std::map<Slot, News> news;
    std::vector<Move> moves;  // out of a directory, not seen to arrive in the same one
  };

  int Open();
  int Watch(Slot slot, File* file, uint32_t fflags, bool reading);
  void WatchParent(Slot slot, File* file);
  void Leave(Slot slot, int* watch);
  void Read(const inotify_event& event, Reading* reading);
  void ReadEntry(const inotify_event& event, Reading* reading);
  void TellAll(Reading* reading);
  uint32_t Compare(File* file, const News& news);

  const int epoll_;
  std::mutex mutex_;
  Descriptor inotify_;                        // guarded by mutex_
  std::map<Slot, File> files_;                // guarded by mutex_
  std::map<int, std::vector<Slot>> watches_;  // guarded by mutex_: who shares a watch
};

}  // namespace kevent

#endif  // X_KEVENT_FILTER_VNODE_H_
