#include "sentinel.h"

#include <sys/epoll.h>

#include <cerrno>
#include <csignal>

namespace kevent {

Sentinel* Sentinel::Get() {
  static auto* sentinel = new Sentinel();
  return sentinel;
}

int Sentinel::Watch(int backend, Gate* gate, StartThread start) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (!epoll_.valid()) {
    Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll.valid()) return errno;
    epoll_ = std::move(epoll);
    if (const int error = start(&Sentinel::Run, this); error != 0) {
      epoll_ = Descriptor();
      return error;
    }
  }
  const uint64_t name = next_name_++;
  // Edge-triggered: the loop may leave its backend readable for as long as it likes.
  epoll_event registration{EPOLLIN | EPOLLET, {.u64 = name}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, backend, &registration) < 0) return errno;
  gates_[name] = gate;
  names_[backend] = name;
  return 0;
}

void Sentinel::Forget(int backend) {
  std::lock_guard<std::mutex> guard(mutex_);
  const auto found = names_.find(backend);
  if (found == names_.end()) return;
  epoll_event unused{};
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, backend, &unused);  // fails only when the loop has closed it
  gates_.erase(found->second);
  names_.erase(found);
}

void Sentinel::Run(void* self) {
  auto* sentinel = static_cast<Sentinel*>(self);
  // Signals are for the threads that handle them. On Linux the mask is this thread's alone.
  sigset_t all;
  sigfillset(&all);
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  sigprocmask(SIG_SETMASK, &all, nullptr);
  int epoll = -1;
  {
    std::lock_guard<std::mutex> guard(sentinel->mutex_);
    epoll = sentinel->epoll_.get();
  }
  for (;;) {
    epoll_event events[16];
    const int count = epoll_wait(epoll, events, 16, -1);
    for (int index = 0; index < count; index++) {
      std::lock_guard<std::mutex> guard(sentinel->mutex_);
      const auto found = sentinel->gates_.find(events[index].data.u64);
      if (found != sentinel->gates_.end()) found->second->Poke();
    }
  }
}

}  // namespace kevent
