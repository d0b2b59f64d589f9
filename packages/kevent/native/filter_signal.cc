#include "filter_signal.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "epoll_tag.h"
#include "signal_watch.h"

namespace kevent {

SignalFilter::~SignalFilter() {
  for (const auto& [slot, watcher] : watchers_) signal_watch::Remove(watcher.signal);
}

int SignalFilter::Open() {
  if (registered_) return 0;
  const int wake = signal_watch::Descriptor();
  if (wake < 0) return errno;
  // Edge-triggered: nobody reads it, every write is an edge in every queue.
  epoll_event registration{EPOLLIN | EPOLLET, {.u64 = kSignalTag}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, wake, &registration) < 0) return errno;
  registered_ = true;
  return 0;
}

// A signal that all threads block never reaches the handler; it makes a signalfd readable.
void SignalFilter::ListenToBlocked() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const auto& [slot, watcher] : watchers_) sigaddset(&signals, watcher.signal);
  const bool made = blocked_.valid();
  const int descriptor = signalfd(blocked_.get(), &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (made || descriptor < 0) return;
  blocked_ = Descriptor(descriptor);
  epoll_event registration{EPOLLIN | EPOLLET, {.u64 = kSignalTag}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &registration);  // without it blocked signals are found later
}

int SignalFilter::Attach(Knote* knote, Slot slot) {
  if (knote->ident < 1 || knote->ident > signal_watch::kLast) return EINVAL;
  const auto signal = static_cast<int>(knote->ident);
  knote->Stick(EV_CLEAR);
  const std::lock_guard<std::mutex> guard(mutex_);
  if (const int error = Open(); error != 0) return error;
  if (const int error = signal_watch::Add(signal); error != 0) return error;
  watchers_[slot] = {knote->generation(), signal, signal_watch::Count(signal)};
  ListenToBlocked();
  any_.store(true, std::memory_order_relaxed);
  return 0;
}

void SignalFilter::Detach(const Knote& /*knote*/, Slot slot) {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto found = watchers_.find(slot);
  if (found == watchers_.end()) return;
  signal_watch::Remove(found->second.signal);
  watchers_.erase(found);
  ListenToBlocked();
  any_.store(!watchers_.empty(), std::memory_order_relaxed);
}

int SignalFilter::Readjust(const Knote& knote, Slot /*slot*/) {
  signal_watch::Restore(static_cast<int>(knote.ident));
  return 0;
}

void SignalFilter::Restore() {
  const std::lock_guard<std::mutex> guard(mutex_);
  for (const auto& [slot, watcher] : watchers_) signal_watch::Restore(watcher.signal);
}

Verdict SignalFilter::Evaluate(Knote* knote, Slot slot, Level* level) {
  {
    // One that came after the last look belongs to this event.
    const std::lock_guard<std::mutex> guard(mutex_);
    knote->Count(TakeNew(&watchers_[slot]));
  }
  level->data = knote->pending;
  return knote->pending != 0 ? Verdict::kDue : Verdict::kNothing;
}

int64_t SignalFilter::TakeNew(Watcher* watcher) {
  const uint64_t count = signal_watch::Count(watcher->signal);
  return static_cast<int64_t>(count - std::exchange(watcher->counted, count));
}

void SignalFilter::Collect(std::vector<Occurrence>* found) {
  const std::lock_guard<std::mutex> guard(mutex_);
  for (auto& [slot, watcher] : watchers_) {
    const int64_t fresh = TakeNew(&watcher);
    if (fresh > 0) found->push_back({slot, watcher.generation, fresh});
  }
}

bool SignalFilter::Note(Knote* knote, int64_t what) {
  knote->Count(what);
  return true;
}

}  // namespace kevent
