// The core without Node, for the sanitizers: threads that share a queue. The semantics have their tests in
// TypeScript; here memory and ordering are on trial.
#include "queue.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"
#include "sentinel.h"

using kevent::Consumer;
using kevent::Descriptor;
using kevent::KEvent;
using kevent::Queue;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::unique_ptr<Queue> MakeQueue() {
  int error = 0;
  std::unique_ptr<Queue> queue = Queue::Make(&error);
  CHECK(queue != nullptr && error == 0);
  return queue;
}

int Change(Queue* queue, Consumer* consumer, KEvent change) {
  return queue->Kevent(&change, 1, nullptr, 0, 0, consumer);
}

struct Pair {
  Pair() {
    int both[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0);
    ends[0] = Descriptor(both[0]);
    ends[1] = Descriptor(both[1]);
  }
  Descriptor ends[2];
};

// D13: tokens go to and fro over socket pairs; every end is an EV_DISPATCH knote of one queue. No knote
// is in two threads at once, and no token is lost.
void PingPong(int threads, int pairs, int cycles) {
  const auto queue = MakeQueue();
  std::vector<Pair> all(static_cast<size_t>(pairs));
  std::vector<int> peer(4096, -1);
  std::vector<std::atomic<int>> busy(4096);
  std::atomic<int> left{cycles};
  const auto main_consumer = queue->MakeConsumer();
  for (const Pair& pair : all) {
    for (int end = 0; end < 2; end++) {
      const int descriptor = pair.ends[end].get();
      peer[static_cast<size_t>(descriptor)] = pair.ends[1 - end].get();
      CHECK(Change(queue.get(), main_consumer.get(),
                   {descriptor, kevent::EVFILT_READ, kevent::EV_ADD | kevent::EV_DISPATCH, 0, 0, 0}) == 0);
    }
    CHECK(write(pair.ends[0].get(), "t", 1) == 1);
  }
  std::vector<std::thread> workers;
  for (int index = 0; index < threads; index++) {
    workers.emplace_back([&] {
      const auto consumer = queue->MakeConsumer();
      KEvent events[4];
      int count = 0;
      while (left.load() > 0) {
        for (int at = 0; at < count; at++) events[at].flags = kevent::EV_ENABLE;
        count = queue->Kevent(events, count, events, 4, kSecond / 10, consumer.get());
        CHECK(count >= 0);
        for (int at = 0; at < count; at++) {
          const auto descriptor = static_cast<size_t>(events[at].ident);
          CHECK(busy[descriptor].exchange(1) == 0);
          char token = 0;
          const ssize_t got = read(static_cast<int>(descriptor), &token, 1);
          if (got == 1) {
            left.fetch_sub(1);
            CHECK(write(peer[descriptor], &token, 1) == 1);
          } else {
            CHECK(errno == EAGAIN);
          }
          busy[descriptor].store(0);
        }
      }
      // What is still in hand goes back, so that tokens can be counted.
      for (int at = 0; at < count; at++) events[at].flags = kevent::EV_ENABLE;
      CHECK(queue->Kevent(events, count, nullptr, 0, 0, consumer.get()) == 0);
    });
  }
  for (std::thread& worker : workers) worker.join();
  int tokens = 0;
  for (const Pair& pair : all) {
    for (const Descriptor& end : pair.ends) {
      char buffer[8];
      const ssize_t got = read(end.get(), buffer, sizeof(buffer));
      if (got > 0) tokens += static_cast<int>(got);
    }
  }
  CHECK(tokens == pairs);
}

// One thread forces knotes while others serve them: each forced one is delivered as such exactly once, and
// nothing of it comes afterwards. The million of O17 is a stress in TypeScript.
void ForceWhileServing(int rounds) {
  const auto queue = MakeQueue();
  std::atomic<bool> done{false};
  std::atomic<int> torn_down{0};
  std::vector<std::atomic<int>> state(4096);  // 1: may be served
  std::vector<std::thread> workers;
  for (int index = 0; index < 3; index++) {
    workers.emplace_back([&] {
      const auto consumer = queue->MakeConsumer();
      KEvent event{};
      while (!done.load()) {
        const int count = queue->Kevent(nullptr, 0, &event, 1, kSecond / 20, consumer.get());
        CHECK(count >= 0);
        if (count == 0) continue;
        const auto descriptor = static_cast<size_t>(event.ident);
        CHECK(state[descriptor].load() == 1);
        if ((event.flags & kevent::EV_FORCEONESHOT) != 0) {
          CHECK((event.flags & kevent::EV_ONESHOT) != 0);
          torn_down.fetch_add(1);
          state[descriptor].store(2);
        } else {
          CHECK(Change(queue.get(), consumer.get(),
                       {event.ident, kevent::EVFILT_READ, kevent::EV_ENABLE, 0, 0, 0}) <= 0);
        }
      }
    });
  }
  const auto consumer = queue->MakeConsumer();
  for (int round = 0; round < rounds; round++) {
    Pair pair;
    const int descriptor = pair.ends[0].get();
    state[static_cast<size_t>(descriptor)].store(1);
    CHECK(write(pair.ends[1].get(), "x", 1) == 1);  // never read: ready for ever
    CHECK(Change(queue.get(), consumer.get(),
                 {descriptor, kevent::EVFILT_READ, kevent::EV_ADD | kevent::EV_DISPATCH, 0, 0, 0}) == 0);
    CHECK(Change(queue.get(), consumer.get(),
                 {descriptor, kevent::EVFILT_READ, kevent::EV_FORCEONESHOT | kevent::EV_KEEPUDATA, 0, 0,
                  0}) == 0);
    while (state[static_cast<size_t>(descriptor)].load() != 2) std::this_thread::yield();
    CHECK(torn_down.load() == round + 1);
    CHECK(Change(queue.get(), consumer.get(),
                 {descriptor, kevent::EVFILT_READ, kevent::EV_DELETE, 0, 0, 0}) == -ENOENT);
  }
  done.store(true);
  for (std::thread& worker : workers) worker.join();
}

// U13: triggers against removal: no crash, and nothing after the removal has returned.
void TriggerAgainstRemove(int rounds) {
  const auto queue = MakeQueue();
  std::atomic<bool> done{false};
  std::thread trigger([&] {
    const auto consumer = queue->MakeConsumer();
    while (!done.load()) {
      const int result =
          Change(queue.get(), consumer.get(), {1, kevent::EVFILT_USER, 0, kevent::NOTE_TRIGGER, 0, 0});
      CHECK(result == 0 || result == -ENOENT);
    }
  });
  const auto consumer = queue->MakeConsumer();
  KEvent event{};
  for (int round = 0; round < rounds; round++) {
    CHECK(Change(queue.get(), consumer.get(),
                 {1, kevent::EVFILT_USER, kevent::EV_ADD | kevent::EV_CLEAR, 0, 0, 0}) == 0);
    CHECK(queue->Kevent(nullptr, 0, &event, 1, 0, consumer.get()) >= 0);
    CHECK(Change(queue.get(), consumer.get(), {1, kevent::EVFILT_USER, kevent::EV_DELETE, 0, 0, 0}) == 0);
    CHECK(queue->Kevent(nullptr, 0, &event, 1, 0, consumer.get()) == 0);
  }
  done.store(true);
  trigger.join();
}

// Timers from many threads, one queue: every one fires once.
void Timers(int threads, int each) {
  const auto queue = MakeQueue();
  std::atomic<int> fired{0};
  std::vector<std::thread> workers;
  for (int index = 0; index < threads; index++) {
    workers.emplace_back([&, index] {
      const auto consumer = queue->MakeConsumer();
      for (int timer = 0; timer < each; timer++) {
        const KEvent change{index * each + timer,  kevent::EVFILT_TIMER, kevent::EV_ADD | kevent::EV_ONESHOT,
                            kevent::NOTE_USECONDS, timer % 50,           0};
        CHECK(queue->Kevent(&change, 1, nullptr, 0, 0, consumer.get()) == 0);
      }
      KEvent events[8];
      while (fired.load() < threads * each) {
        const int count = queue->Kevent(nullptr, 0, events, 8, kSecond / 100, consumer.get());
        CHECK(count >= 0);
        fired.fetch_add(count);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  CHECK(fired.load() == threads * each);
}

// X5, and waits that are interrupted: each interrupt reaches the consumer that it is for, and wakes no other;
// Close reaches all.
void InterruptAndClose() {
  constexpr size_t kThreads = 6;
  const auto queue = MakeQueue();
  std::vector<std::unique_ptr<Consumer>> consumers;
  std::vector<std::thread> sleepers;
  std::vector<std::atomic<int>> interrupted(kThreads);
  for (size_t index = 0; index < kThreads; index++) consumers.push_back(queue->MakeConsumer());
  for (size_t index = 0; index < kThreads; index++) {
    sleepers.emplace_back([&, index] {
      KEvent event{};
      for (;;) {
        const int count = queue->Kevent(nullptr, 0, &event, 1, Queue::kForever, consumers[index].get());
        if (count == -EBADF) return;
        CHECK(count == -ECANCELED);
        interrupted[index].fetch_add(1);
      }
    });
  }
  for (int round = 1; round <= 50; round++) {
    for (size_t index = 0; index < kThreads; index++) {
      queue->Interrupt(consumers[index].get());
      while (interrupted[index].load() < round) std::this_thread::yield();
    }
  }
  queue->Close();
  for (std::thread& sleeper : sleepers) sleeper.join();
  for (const auto& count : interrupted) CHECK(count.load() == 50);
  CHECK(queue->counters().interrupted.load() == 50 * kThreads);
  CHECK(queue->counters().slept.load() <= 51 * kThreads);
}

// C17: a signal that has a handler ends the wait with EINTR; the changes of the call are applied.
void SignalInterrupts() {
  const auto queue = MakeQueue();
  const auto consumer = queue->MakeConsumer();
  struct sigaction action {};
  action.sa_handler = [](int) {};
  CHECK(sigaction(SIGUSR1, &action, nullptr) == 0);
  int result = 0;
  std::atomic<bool> done{false};
  std::thread sleeper([&] {
    KEvent event{1, kevent::EVFILT_USER, kevent::EV_ADD, 0, 0, 0};
    result = queue->Kevent(&event, 1, &event, 1, Queue::kForever, consumer.get());
    done.store(true);
  });
  while (queue->counters().slept.load() == 0) std::this_thread::yield();
  // It has counted itself, and may not sleep yet: a signal that comes too early is followed by others.
  while (!done.load()) {
    pthread_kill(sleeper.native_handle(), SIGUSR1);
    std::this_thread::yield();
  }
  sleeper.join();
  CHECK(result == -EINTR);
  CHECK(queue->List().size() == 1);
}

// X5: a thread that only polls may be the one that finds Close's wake-up; the sleepers get it all the same.
void CloseAgainstPoller() {
  for (int round = 0; round < 50; round++) {
    const auto queue = MakeQueue();
    std::vector<std::thread> threads;
    std::atomic<int> started{0};
    for (const int64_t timeout :
         {int64_t{0}, int64_t{0}, Queue::kForever, Queue::kForever, Queue::kForever}) {
      threads.emplace_back([&, timeout] {
        const auto consumer = queue->MakeConsumer();
        KEvent event{};
        started.fetch_add(1);
        while (queue->Kevent(nullptr, 0, &event, 1, timeout, consumer.get()) != -EBADF) {
        }
      });
    }
    while (started.load() < 5) std::this_thread::yield();
    queue->Close();
    for (std::thread& thread : threads) thread.join();
  }
}

// M3: a level-triggered knote that is always ready is never missed, whoever else has it in hand, from the
// first call on: while one thread takes its first edge from epoll, another that does not wait finds it all
// the same.
void LevelIsNeverMissed(int threads, int knotes, int calls) {
  const auto queue = MakeQueue();
  const auto consumer = queue->MakeConsumer();
  const Pair pair;
  CHECK(write(pair.ends[1].get(), "x", 1) == 1);
  KEvent change{pair.ends[0].get(), kevent::EVFILT_READ, kevent::EV_ADD, 0, 0, 0};
  std::atomic<int> started{0};
  std::atomic<int> done{0};
  std::vector<std::thread> workers;
  for (int index = 0; index < threads; index++) {
    workers.emplace_back([&] {
      const auto mine = queue->MakeConsumer();
      KEvent event{};
      for (int knote = 1; knote <= knotes; knote++) {
        while (started.load() < knote) std::this_thread::yield();
        for (int call = 0; call < calls; call++) {
          CHECK(queue->Kevent(nullptr, 0, &event, 1, 0, mine.get()) == 1);
        }
        done.fetch_add(1);
      }
    });
  }
  for (int knote = 1; knote <= knotes; knote++) {
    change.flags = kevent::EV_ADD;
    CHECK(Change(queue.get(), consumer.get(), change) == 0);
    started.store(knote);
    while (done.load() < threads * knote) std::this_thread::yield();
    change.flags = kevent::EV_DELETE;
    CHECK(Change(queue.get(), consumer.get(), change) == 0);
  }
  for (std::thread& worker : workers) worker.join();
}

// The end of a one-shot races with the EV_ADD of its successor: each EV_ADD is worth one event, with its own
// udata, and the registration that is left is the successor's.
void OneshotAgainstAdd(int16_t filter, int rounds) {
  const auto queue = MakeQueue();
  const Pair pair;
  CHECK(write(pair.ends[1].get(), "x", 1) == 1);
  std::atomic<int> seen{0};
  std::vector<std::thread> workers;
  for (int index = 0; index < 2; index++) {
    workers.emplace_back([&] {
      const auto consumer = queue->MakeConsumer();
      KEvent event{};
      while (queue->Kevent(nullptr, 0, &event, 1, Queue::kForever, consumer.get()) == 1) {
        CHECK(event.udata == seen.load() + 1);
        seen.fetch_add(1);
      }
    });
  }
  const auto consumer = queue->MakeConsumer();
  const uint32_t fflags = filter == kevent::EVFILT_USER ? kevent::NOTE_TRIGGER : kevent::NOTE_FFNOP;
  for (int round = 1; round <= rounds; round++) {
    CHECK(Change(queue.get(), consumer.get(),
                 {pair.ends[0].get(), filter, kevent::EV_ADD | kevent::EV_ONESHOT, fflags, 0,
                  static_cast<double>(round)}) == 0);
    while (seen.load() < round) std::this_thread::yield();
  }
  queue->Close();
  for (std::thread& worker : workers) worker.join();
  CHECK(seen.load() == rounds);
}

// W23: an eventfd, which no JavaScript can make. FIONREAD is not for it: `data` is 1.
void EventDescriptor() {
  const auto queue = MakeQueue();
  const auto consumer = queue->MakeConsumer();
  const Descriptor counter(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  KEvent event{};
  CHECK(Change(queue.get(), consumer.get(), {counter.get(), kevent::EVFILT_READ, kevent::EV_ADD, 0, 0, 0}) ==
        0);
  CHECK(queue->Kevent(nullptr, 0, &event, 1, 0, consumer.get()) == 0);
  CHECK(eventfd_write(counter.get(), 5) == 0);
  CHECK(queue->Kevent(nullptr, 0, &event, 1, 0, consumer.get()) == 1 && event.data == 1);
  eventfd_t value = 0;
  CHECK(eventfd_read(counter.get(), &value) == 0 && value == 5);
  CHECK(queue->Kevent(nullptr, 0, &event, 1, 0, consumer.get()) == 0);
}

// O14: none of these is ready, and no trick with room to write makes them so; each is delivered when forced.
void ForceWhatIsNotReady() {
  const auto queue = MakeQueue();
  const auto consumer = queue->MakeConsumer();
  const Pair full;
  const std::array<char, 4096> block{};
  while (write(full.ends[0].get(), block.data(), block.size()) > 0) {
  }
  CHECK(errno == EAGAIN);
  const Descriptor counter(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  CHECK(eventfd_write(counter.get(), UINT64_MAX - 1) == 0);  // its maximum
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const Descriptor reader(ends[0]);
  const Descriptor writer(ends[1]);
  const Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  CHECK(listen(listener.get(), 8) == 0);
  const KEvent knotes[] = {{full.ends[0].get(), kevent::EVFILT_WRITE, kevent::EV_ADD, 0, 0, 1},
                           {counter.get(), kevent::EVFILT_WRITE, kevent::EV_ADD, 0, 0, 2},
                           {reader.get(), kevent::EVFILT_READ, kevent::EV_ADD, 0, 0, 3},
                           {listener.get(), kevent::EVFILT_READ, kevent::EV_ADD, 0, 0, 4}};
  for (const int flags : {0, int{kevent::EV_DISPATCH}}) {
    KEvent event{};
    for (KEvent knote : knotes) {
      knote.flags = static_cast<uint16_t>(knote.flags | flags);
      CHECK(Change(queue.get(), consumer.get(), knote) == 0);
    }
    CHECK(queue->Kevent(nullptr, 0, &event, 1, 0, consumer.get()) == 0);
    for (KEvent knote : knotes) {
      knote.flags = kevent::EV_FORCEONESHOT;
      CHECK(Change(queue.get(), consumer.get(), knote) == 0);
      CHECK(queue->Kevent(nullptr, 0, &event, 1, 0, consumer.get()) == 1);
      CHECK(event.ident == knote.ident && event.filter == knote.filter && event.udata == knote.udata);
      CHECK(event.flags == (flags | kevent::EV_FORCEONESHOT | kevent::EV_ONESHOT));
      knote.flags = kevent::EV_DELETE;
      CHECK(Change(queue.get(), consumer.get(), knote) == -ENOENT);
    }
    CHECK(queue->Kevent(nullptr, 0, &event, 1, 0, consumer.get()) == 0);
  }
}

// Removal, and making anew, of knotes that stand in the ring, against threads that claim from it.
void RemoveWhileQueued(int rounds) {
  const auto queue = MakeQueue();
  std::vector<Pair> pairs(8);
  for (const Pair& pair : pairs) CHECK(write(pair.ends[1].get(), "x", 1) == 1);
  std::vector<std::thread> workers;
  for (int index = 0; index < 2; index++) {
    workers.emplace_back([&] {
      const auto consumer = queue->MakeConsumer();
      KEvent events[3];
      while (queue->Kevent(nullptr, 0, events, 3, kSecond, consumer.get()) >= 0) {
      }
    });
  }
  const auto consumer = queue->MakeConsumer();
  for (int round = 0; round < rounds; round++) {
    for (const Pair& pair : pairs) {
      CHECK(Change(queue.get(), consumer.get(),
                   {pair.ends[0].get(), kevent::EVFILT_READ, kevent::EV_ADD, 0, 0, 0}) == 0);
    }
    for (const Pair& pair : pairs) {
      CHECK(Change(queue.get(), consumer.get(),
                   {pair.ends[0].get(), kevent::EVFILT_READ, kevent::EV_DELETE, 0, 0, 0}) == 0);
    }
  }
  CHECK(queue->List().empty());
  queue->Close();
  for (std::thread& worker : workers) worker.join();
}

// The sentinel ends a wait when a descriptor that stands for the loop becomes readable.
void SentinelInterrupts() {
  const auto queue = MakeQueue();
  const auto consumer = queue->MakeConsumer();
  kevent::Gate gate;
  Pair loop;
  const auto start = [](void (*entry)(void*), void* argument) {
    std::thread(entry, argument).detach();
    return 0;
  };
  CHECK(kevent::Sentinel::Get()->Watch(loop.ends[0].get(), &gate, start) == 0);
  for (int round = 0; round < 20; round++) {
    std::thread waker([&] { CHECK(write(loop.ends[1].get(), "x", 1) == 1); });
    KEvent event{};
    if (gate.Enter(queue.get(), consumer.get())) {
      CHECK(queue->Kevent(nullptr, 0, &event, 1, Queue::kForever, consumer.get()) == -ECANCELED);
      gate.Leave();
    }
    waker.join();
    while (!gate.TakeDirty()) std::this_thread::yield();
  }
  kevent::Sentinel::Get()->Forget(loop.ends[0].get());
}

}  // namespace

int main() {
  PingPong(2, 2, 20'000);
  PingPong(4, 16, 20'000);
  PingPong(8, 2, 20'000);
  ForceWhileServing(2'000);
  TriggerAgainstRemove(5'000);
  Timers(4, 500);
  InterruptAndClose();
  SignalInterrupts();
  CloseAgainstPoller();
  OneshotAgainstAdd(kevent::EVFILT_READ, 5'000);
  OneshotAgainstAdd(kevent::EVFILT_USER, 5'000);
  EventDescriptor();
  ForceWhatIsNotReady();
  RemoveWhileQueued(1'000);
  SentinelInterrupts();
  LevelIsNeverMissed(2, 1, 10'000);
  LevelIsNeverMissed(2, 2'000, 4);
  puts("queue_test: ok");
  return 0;
}
