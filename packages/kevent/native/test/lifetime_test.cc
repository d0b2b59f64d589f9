// Descriptors, knotes and threads that go away while others look at them.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "queue.h"
#include "watcher.h"

using kevent::Descriptor;
using kevent::KEvent;
using kevent::Queue;
using kevent::test::Watcher;

namespace {

constexpr uint16_t kAddDispatch = kevent::EV_ADD | kevent::EV_DISPATCH;
constexpr int64_t kLong = 10'000'000'000;

struct Pair {
  Pair() {
    int both[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0);
    ours = Descriptor(both[0]);
    theirs = Descriptor(both[1]);
  }
  void Write() const { CHECK(write(theirs.get(), "x", 1) == 1); }

  Descriptor ours;
  Descriptor theirs;
};

// Another thread takes what comes, until this is destroyed.
class Taker {
 public:
  explicit Taker(Queue* queue) {
    thread_ = std::thread([this, queue] {
      const auto consumer = queue->MakeConsumer();
      KEvent event{};
      while (!over_.load()) {
        const int count = queue->Kevent(nullptr, 0, &event, 1, 0, consumer.get());
        CHECK(count >= 0);
        taken += count;
      }
    });
  }
  Taker(const Taker&) = delete;
  Taker& operator=(const Taker&) = delete;
  ~Taker() {
    over_.store(true);
    thread_.join();
  }

  std::atomic<int> taken{0};

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

// The question whether epoll has a descriptor puts it there for a moment; of a file that is hung up, another
// thread may be told before it is taken back.
void AnsweredQuestions() {
  const Watcher watcher;
  const Taker taker(watcher.queue.get());
  for (int round = 0; round < 2000; round++) {
    const Pair pair;
    const int number = pair.ours.get();
    CHECK(watcher.Change({number, kevent::EVFILT_READ, kAddDispatch | kevent::EV_DISABLE, 0, 0, 0}) == 0);
    int pipe[2];
    CHECK(pipe2(pipe, O_CLOEXEC) == 0);
    CHECK(dup2(pipe[0], number) == number);  // the number is given to a pipe without a writer
    CHECK(close(pipe[0]) == 0 && close(pipe[1]) == 0);
    CHECK(watcher.Change({number, kevent::EVFILT_READ, kevent::EV_ENABLE, 0, 0, 0}) == -ENOENT);
  }
  CHECK(taker.taken == 0);
}

// X4: an edge of a file that lives on in a duplicate is none of the file that has its number now, even if
// that is readable.
void EdgeOfTheOtherFile() {
  const Watcher watcher;
  for (int round = 0; round < 100; round++) {
    const Pair old;
    const Pair next;
    const int number = old.ours.get();
    CHECK(watcher.Change({number, kevent::EVFILT_READ, kAddDispatch, 0, 0, 0}) == 0);
    const Descriptor duplicate(dup(number));
    CHECK(dup2(next.ours.get(), number) == number);
    next.Write();
    old.Write();
    KEvent event{};
    CHECK(watcher.Take(&event, 0) == 0);
    CHECK(watcher.queue->List().empty());
  }
}

// Of a one-shot, either a thread gets the event or EV_DELETE succeeds.
void OneShotAgainstDelete(uint16_t flags, uint16_t force) {
  const Watcher watcher;
  for (int round = 0; round < 3000; round++) {
    const Pair pair;
    const int number = pair.ours.get();
    if (force == 0) pair.Write();
    CHECK(watcher.Change(
              {number, kevent::EVFILT_READ, static_cast<uint16_t>(kevent::EV_ADD | flags), 0, 0, 0}) == 0);
    int deleted = 1;
    int taken = 0;
    {
      const Taker taker(watcher.queue.get());
      if (force != 0) CHECK(watcher.Change({number, kevent::EVFILT_READ, force, 0, 0, 0}) == 0);
      deleted = watcher.Change({number, kevent::EVFILT_READ, kevent::EV_DELETE, 0, 0, 0});
      // What was taken before is counted once the taker has come back from its call.
      while (deleted == -ENOENT && taker.taken == 0) std::this_thread::yield();
      taken = taker.taken;
    }
    CHECK(deleted == (taken > 0 ? -ENOENT : 0));
    CHECK(watcher.queue->List().empty());
  }
}

// A timer that is set anew, on either clock, due or not, or removed, while it fires.
void TimersSetAnew() {
  const Watcher watcher;
  const Taker taker(watcher.queue.get());
  std::vector<std::thread> threads;
  for (int index = 0; index < 2; index++) {
    threads.emplace_back([&] {
      const auto consumer = watcher.queue->MakeConsumer();
      for (int round = 0; round < 20000; round++) {
        constexpr uint32_t kNotes[] = {kevent::NOTE_USECONDS, kevent::NOTE_USECONDS,
                                       kevent::NOTE_USECONDS | kevent::NOTE_ABSTIME, kevent::NOTE_ABSTIME};
        const uint16_t flags = round % 7 == 0 ? kevent::EV_DELETE : kevent::EV_ADD;
        KEvent change{1, kevent::EVFILT_TIMER, flags, kNotes[round % 4], round % 3, 0};
        const int result = watcher.queue->Kevent(&change, 1, nullptr, 0, 0, consumer.get());
        CHECK(result == 0 || (flags == kevent::EV_DELETE && result == -ENOENT));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Claims the one event that is due, as a thread that then dies without having seen it.
KEvent ClaimAndDie(const Watcher& watcher) {
  const auto dead = watcher.queue->MakeConsumer();
  KEvent event{};
  CHECK(watcher.queue->Kevent(nullptr, 0, &event, 1, kLong, dead.get()) == 1);
  watcher.queue->GiveBack(&event, 1, *dead);
  return event;
}

// D19: what a dead thread had claimed and not seen is due again, the same event for another thread, once.
void GivenBack(KEvent change) {
  const Watcher watcher;
  CHECK(watcher.Change(change) == 0);
  const KEvent first = ClaimAndDie(watcher);
  KEvent second{};
  CHECK(watcher.Take(&second, kLong) == 1);
  CHECK(second.ident == first.ident && second.filter == first.filter && second.flags == first.flags);
  CHECK(second.fflags == first.fflags && second.data == first.data && second.udata == first.udata);
  CHECK(watcher.queue->counters().delivered == 1);
}

void GivesBack() {
  const Pair pair;
  pair.Write();
  for (const uint16_t flags : {kevent::EV_DISPATCH, kevent::EV_CLEAR, kevent::EV_ONESHOT}) {
    const auto add = static_cast<uint16_t>(kevent::EV_ADD | flags);
    GivenBack({pair.ours.get(), kevent::EVFILT_READ, add, 0, 0, 7});
    GivenBack({pair.ours.get(), kevent::EVFILT_WRITE, add, 0, 0, 7});
    GivenBack({1, kevent::EVFILT_USER, add, kevent::NOTE_TRIGGER | kevent::NOTE_FFCOPY | 5, 9, 7});
    GivenBack({1, kevent::EVFILT_TIMER, add, kevent::NOTE_SECONDS, flags == kevent::EV_ONESHOT ? 0 : 1, 7});
  }
  GivenBack({pair.ours.get(), kevent::EVFILT_EMPTY, kAddDispatch, 0, 0, 7});
}

// A forced event comes again as one; and not at all where its place was taken, or its descriptor closed.
void GivesBackForced() {
  const Watcher watcher;
  const Pair pair;
  const KEvent add{pair.ours.get(), kevent::EVFILT_READ, kAddDispatch, 0, 0, 7};
  const KEvent force{pair.ours.get(), kevent::EVFILT_READ, kevent::EV_FORCEONESHOT, 0, 0, 8};
  CHECK(watcher.Change(add) == 0 && watcher.Change(force) == 0);
  ClaimAndDie(watcher);
  CHECK(watcher.queue->counters().forced == 0);
  KEvent event{};
  CHECK(watcher.Take(&event, 0) == 1 && (event.flags & kevent::EV_FORCEONESHOT) != 0 && event.udata == 8);
  CHECK(watcher.Take(&event, 0) == 0 && watcher.queue->List().empty());

  CHECK(watcher.Change(add) == 0);
  watcher.queue->GiveBack(&event, 1, *watcher.consumer);
  CHECK(watcher.Take(&event, 0) == 0 && watcher.queue->List().size() == 1);

  CHECK(watcher.queue->Detach(pair.ours.get()) == 0);
  const int closed = fcntl(pair.ours.get(), F_DUPFD_CLOEXEC, 0);
  event.ident = closed;
  CHECK(close(closed) == 0);
  watcher.queue->GiveBack(&event, 1, *watcher.consumer);
  CHECK(watcher.Take(&event, 0) == 0 && watcher.queue->List().empty());
}

// What another thread has enabled, and got, in the meantime is that thread's.
void GivesBackOnlyItsOwn() {
  const Watcher watcher;
  const Pair pair;
  pair.Write();
  const int number = pair.ours.get();
  CHECK(watcher.Change({number, kevent::EVFILT_READ, kAddDispatch, kevent::NOTE_LOWAT, 1, 7}) == 0);
  const auto dead = watcher.queue->MakeConsumer();
  KEvent event{};
  CHECK(watcher.queue->Kevent(nullptr, 0, &event, 1, kLong, dead.get()) == 1);
  CHECK(watcher.Change({number, kevent::EVFILT_READ, kevent::EV_ENABLE, kevent::NOTE_LOWAT, 1, 7}) == 0);
  CHECK(watcher.Take(&event, kLong) == 1);
  watcher.queue->GiveBack(&event, 1, *dead);
  CHECK(watcher.Take(&event, 0) == 0);
  const auto views = watcher.queue->List();
  CHECK(views.size() == 1 && views[0].disabled && views[0].holder == watcher.consumer->id());
  CHECK(views[0].event.fflags == kevent::NOTE_LOWAT && views[0].event.data == 1);
}

}  // namespace

int main() {
  AnsweredQuestions();
  EdgeOfTheOtherFile();
  OneShotAgainstDelete(kevent::EV_ONESHOT, 0);
  OneShotAgainstDelete(kevent::EV_DISPATCH, kevent::EV_FORCEONESHOT);
  TimersSetAnew();
  GivesBack();
  GivesBackForced();
  GivesBackOnlyItsOwn();
  return 0;
}
