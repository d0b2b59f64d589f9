// A queue's life, and how its threads wait. Changes are in queue_change.cc, delivery in queue_deliver.cc.
#include "queue.h"

#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>

#include "epoll_tag.h"
#include "hand.h"
#include "interrupt_signal.h"

namespace kevent {
namespace {

constexpr int kClaimsPerHarvest = 8;  // calls that the ring may serve before epoll is looked at again
constexpr uint64_t kOneWake = uint64_t{1} << 32;
constexpr uint64_t kSleeperMask = kOneWake - 1;
constexpr int64_t kNanoseconds = 1'000'000'000;
constexpr int64_t kMillisecond = 1'000'000;

// epoll_pwait2(2) since Linux 5.11, by number because older C libraries do not have it.
constexpr long kEpollPwait2 = 441;
constexpr size_t kKernelSigset = 8;  // bytes of a signal set as the kernel has it

// Only a wait that may sleep can be interrupted: the thread has been through interrupt_signal::Block.
int EpollWait(int epoll, epoll_event* events, int most, int64_t timeout) {
  if (timeout == 0) return epoll_wait(epoll, events, most, 0);
  const sigset_t* mask = interrupt_signal::WaitMask();
  if (timeout < 0) return epoll_pwait(epoll, events, most, -1, mask);
  static std::atomic<bool> missing{false};  // a hint: every thread may find out for itself
  if (!missing.load(std::memory_order_relaxed)) {
    const timespec spec{static_cast<time_t>(timeout / kNanoseconds),
                        static_cast<long>(timeout % kNanoseconds)};
    const long count = syscall(kEpollPwait2, epoll, events, most, &spec, mask, kKernelSigset);
    // EPERM is what some containers answer to a system call that is newer than they are.
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(count);
    missing.store(true, std::memory_order_relaxed);
  }
  // Rounded up: never early.
  const int64_t milliseconds = (timeout + kMillisecond - 1) / kMillisecond;
  return epoll_pwait(epoll, events, most, static_cast<int>(milliseconds < INT_MAX ? milliseconds : INT_MAX),
                     mask);
}

int64_t MonotonicNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNanoseconds + now.tv_nsec;
}

}  // namespace

std::unique_ptr<Queue> Queue::Make(int* error, Counters* counters) {
  Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  *error = errno;
  if (!epoll.valid()) return nullptr;
  Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  *error = errno;
  if (!wake.valid()) return nullptr;
  std::unique_ptr<Queue> queue(new (std::nothrow) Queue(std::move(epoll), std::move(wake), counters));
  *error = ENOMEM;
  if (queue == nullptr || !queue->Start(error)) return nullptr;
  return queue;
}

Queue::Queue(Descriptor epoll, Descriptor wake, Counters* counters)
    : epoll_(std::move(epoll)),
      wake_(std::move(wake)),
      counters_(counters == nullptr ? &own_counters_ : counters) {}

Queue::~Queue() = default;

bool Queue::Start(int* error) {
  epoll_event registration{EPOLLIN | EPOLLET, {.u64 = kWakeTag}};
  const bool done = epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &registration) == 0;
  *error = done ? 0 : errno;
  return done;
}

std::unique_ptr<Consumer> Queue::MakeConsumer() {
  return std::make_unique<Consumer>(next_consumer_.fetch_add(1, std::memory_order_relaxed));
}

void Queue::Close() {
  closed_.store(true, std::memory_order_seq_cst);  // pairs with the look in Wait after it has counted itself
  WriteWake();
}

void Queue::Interrupt(Consumer* consumer) {
  // Both are sequentially consistent, as are the two of the sleeper in the other order: either it sees the
  // interrupt, or its thread is seen here.
  consumer->interrupted_.store(true, std::memory_order_seq_cst);
  const pid_t thread = consumer->thread_.load(std::memory_order_seq_cst);
  if (thread != 0) interrupt_signal::Send(thread);
}

void Queue::ForgetInterrupt(Consumer* consumer) {
  consumer->interrupted_.store(false, std::memory_order_seq_cst);
}

void Queue::Expose() {
  // Relaxed: it only makes sure that the count is raised once.
  if (exposed_.exchange(true, std::memory_order_relaxed)) return;
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  if (ready_.Size() > 0) WakeOne();
}

void Queue::WriteWake() {
  // Edge-triggered in epoll: every write is an edge, the counter is never read. EAGAIN would need 2^64
  // writes.
  const uint64_t one = 1;
  while (write(wake_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

// One wake-up per sleeper at most: what a wake-up finds beyond its own share it passes on (end of Wait).
void Queue::WakeOne() {
  uint64_t seen = sleepers_.load(std::memory_order_seq_cst);
  do {
    if ((seen & kSleeperMask) <= seen >> 32) return;
  } while (!sleepers_.compare_exchange_weak(seen, seen + kOneWake, std::memory_order_seq_cst));
  counters_->woken.fetch_add(1, std::memory_order_relaxed);
  WriteWake();
}

bool Queue::Arm() {
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  if (ready_.Size() == 0 && !closed_.load(std::memory_order_seq_cst)) return true;
  Disarm();
  return false;
}

void Queue::Disarm() {
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

// Takes up to `most` of what epoll has into the caller's hand, or, without one, into the ring; the rest
// goes to the ring. Whoever takes the wake-up event must look at the ring afterwards, since the push that
// sent it came before.
int Queue::Harvest(int64_t timeout, int most, Hand* hand) {
  epoll_event events[Hand::kMostEdges];
  const int count = EpollWait(epoll_.get(), events, most, timeout);
  if (count < 0) return -errno;
  for (int index = 0; index < count; index++) {
    const uint64_t tag = events[index].data.u64;
    if (tag == kWakeTag) {
      // One event stands for all writes so far. Those who slept through it are served by the chain in Wait.
      sleepers_.fetch_and(kSleeperMask, std::memory_order_seq_cst);
      // The one of Close goes from hand to hand until nobody is left.
      if (closed_.load(std::memory_order_seq_cst)) WriteWake();
    } else if (tag == kMonotonicTag) {
      RunTimers(&monotonic_);
    } else if (tag == kRealtimeTag) {
      RunTimers(&realtime_);
    } else if (tag == kVnodeTag) {
      RunFilter(&vnode_);
    } else if (tag == kSignalTag) {
      RunFilter(&signal_);
    } else if (tag == kMountTag) {
      RunFilter(&mount_);
    } else if (tag == kProbeTag) {
      // See IsRegistered: another thread's question, which a hang-up of its descriptor has answered to us.
    } else if ((tag & kKnoteTag) != 0) {
      ActivateKnote(tag);
    } else {
      Activate(tag, events[index].events, hand);
    }
  }
  return 0;
}

// One wait in epoll, unless there is reason not to. While others sleep it takes no more than was asked for:
// the kernel wakes one of them for the rest, which costs less than to do so from here. 0, -ECANCELED after
// Interrupt, -EINTR, or another -errno.
int Queue::Sleep(int64_t timeout, int max, Hand* hand, Consumer* consumer) {
  // See Interrupt.
  consumer->thread_.store(interrupt_signal::Block(), std::memory_order_seq_cst);
  int result = 0;
  const bool alone = (sleepers_.fetch_add(1, std::memory_order_seq_cst) & kSleeperMask) == 0;
  if (ready_.Size() == 0 && !consumer->interrupted_.load(std::memory_order_seq_cst) &&
      !closed_.load(std::memory_order_seq_cst)) {
    counters_->slept.fetch_add(1, std::memory_order_relaxed);
    result = Harvest(timeout, alone ? Hand::kMostEdges : std::min(max, Hand::kMostEdges), hand);
  }
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  // Ours, of an interrupt that an earlier wait has answered already: as if nothing had come.
  const bool ours = interrupt_signal::Take();
  if (consumer->interrupted_.exchange(false, std::memory_order_seq_cst)) return -ECANCELED;
  return result == -EINTR && ours ? 0 : result;
}

int Queue::Wait(KEvent* events, int max, int64_t timeout, Consumer* consumer) {
  if (++consumer->claims_since_harvest_ >= kClaimsPerHarvest) {
    consumer->claims_since_harvest_ = 0;
    const Claiming claiming(this);
    Harvest(0, Hand::kMostEdges, nullptr);
  }
  if (signal_.any()) signal_.Restore();
  int count = ClaimUpTo(max, events, consumer);
  if (count == 0 && timeout == 0) {
    count = ClaimEdges(max, events, consumer);
    if (count == 0) count = ClaimSettled(max, events, consumer);
  }
  const int64_t deadline = timeout > 0 ? MonotonicNow() + timeout : 0;
  int64_t left = timeout;
  int slept = 0;
  while (count == 0 && left != 0 && slept == 0) {
    consumer->claims_since_harvest_ = 0;
    Hand hand;
    slept = Sleep(left, max, &hand, consumer);
    if (closed_.load(std::memory_order_seq_cst)) return -EBADF;
    // A signal that this queue counts is an event, before it is an interruption.
    if (slept == -EINTR && signal_.any()) Harvest(0, Hand::kMostEdges, &hand);
    count = ClaimHand(hand, max, events, consumer);
    // What another thread is about to push, or has in its hands, is nothing to sleep on: let it go on.
    if (count == 0 && slept == 0 && ready_.Size() > 0) sched_yield();
    if (count == 0 && timeout > 0) left = std::max<int64_t>(deadline - MonotonicNow(), 0);
  }
  if (ready_.Size() > 0) WakeOne();
  counters_->delivered.fetch_add(static_cast<uint64_t>(count), std::memory_order_relaxed);
  if (slept == -ECANCELED && count == 0) counters_->interrupted.fetch_add(1, std::memory_order_relaxed);
  return count == 0 ? slept : count;
}

}  // namespace kevent
