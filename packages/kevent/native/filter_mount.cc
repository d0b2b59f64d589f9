#include "filter_mount.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "epoll_tag.h"

namespace kevent {

int MountFilter::Attach(Knote* knote, Slot slot) {
  knote->Stick(EV_CLEAR);
  std::lock_guard<std::mutex> guard(mutex_);
  if (!table_.valid()) {
    Descriptor table(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
    if (!table.valid()) return errno == ENOENT ? ENXIO : errno;
    // proc(5): a change is POLLPRI and POLLERR, once for each file that asks.
    epoll_event registration{EPOLLPRI | EPOLLET, {.u64 = kMountTag}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, table.get(), &registration) < 0) return errno;
    table_ = std::move(table);
  }
  if (watchers_.empty() && !ReadTable(&mounts_)) return errno;
  watchers_[slot] = knote->generation();
  return 0;
}

void MountFilter::Detach(const Knote& /*knote*/, Slot slot) {
  Descriptor closing;
  std::lock_guard<std::mutex> guard(mutex_);
  watchers_.erase(slot);
  if (watchers_.empty()) closing = std::move(table_);
}

// The ids of all mounts, the first field of each line.
bool MountFilter::ReadTable(std::set<long>* mounts) {
  std::string text;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t got = pread(table_.get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    if (got < 0) return false;
    if (got == 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  mounts->clear();
  for (size_t at = 0; at < text.size();) {
    mounts->insert(strtol(text.c_str() + at, nullptr, 10));
    const size_t end = text.find('\n', at);
    at = end == std::string::npos ? text.size() : end + 1;
  }
  return true;
}

Verdict MountFilter::Evaluate(Knote* knote, Slot /*slot*/, Level* level) {
  level->fflags = knote->pending;
  return knote->pending != 0 ? Verdict::kDue : Verdict::kNothing;
}

void MountFilter::Collect(std::vector<Occurrence>* found) {
  std::lock_guard<std::mutex> guard(mutex_);
  std::set<long> now;
  if (!table_.valid() || !ReadTable(&now)) return;
  const bool mounted = !std::includes(mounts_.begin(), mounts_.end(), now.begin(), now.end());
  const bool unmounted = !std::includes(now.begin(), now.end(), mounts_.begin(), mounts_.end());
  mounts_ = std::move(now);
  const uint32_t notes = (mounted ? VQ_MOUNT : 0u) | (unmounted ? VQ_UNMOUNT : 0u);
  for (const auto& [slot, generation] : watchers_) found->push_back({slot, generation, notes});
}

bool MountFilter::Note(Knote* knote, int64_t what) {
  knote->pending |= what & knote->fflags;
  return knote->pending != 0;
}

}  // namespace kevent
