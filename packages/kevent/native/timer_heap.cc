#include "timer_heap.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <cerrno>

namespace kevent {
namespace {

constexpr int64_t kNanoseconds = 1'000'000'000;
// A knote's link is 0, its place in the heap plus one, or a receipt: that it was taken from the heap.
constexpr uint32_t kReceipt = 1u << 31;

bool IsPlace(uint32_t link) {
  return link != 0 && (link & kReceipt) == 0;
}

}  // namespace

int TimerHeap::Open(int epoll, uint64_t tag) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (descriptor_.valid()) return 0;
  Descriptor descriptor(timerfd_create(clock_, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!descriptor.valid()) return errno;
  epoll_event registration{EPOLLIN | EPOLLET, {.u64 = tag}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor.get(), &registration) < 0) return errno;
  descriptor_ = std::move(descriptor);
  return 0;
}

int64_t TimerHeap::Now() const {
  timespec now{};
  clock_gettime(clock_, &now);  // cannot fail: both clocks exist and the pointer is good
  return now.tv_sec * kNanoseconds + now.tv_nsec;
}

void TimerHeap::Place(size_t index, const Timer& timer) {
  heap_[index] = timer;
  timer.knote->link = static_cast<uint32_t>(index + 1);
}

void TimerHeap::SiftUp(size_t index, const Timer& timer) {
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (heap_[parent].deadline <= timer.deadline) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, timer);
}

void TimerHeap::SiftDown(size_t index, const Timer& timer) {
  for (;;) {
    size_t child = index * 2 + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].deadline < heap_[child].deadline) child++;
    if (timer.deadline <= heap_[child].deadline) break;
    Place(index, heap_[child]);
    index = child;
  }
  Place(index, timer);
}

void TimerHeap::Remove(size_t index) {
  heap_[index].knote->link = 0;
  const Timer last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  if (index > 0 && last.deadline < heap_[(index - 1) / 2].deadline) {
    SiftUp(index, last);
  } else {
    SiftDown(index, last);
  }
}

void TimerHeap::SetDescriptor() {
  const int64_t next = heap_.empty() ? 0 : heap_.front().deadline;
  if (next == armed_) return;
  itimerspec spec{};
  spec.it_value.tv_sec = next / kNanoseconds;
  spec.it_value.tv_nsec = next % kNanoseconds;
  // An absolute time that has passed expires at once. It cannot fail with these arguments.
  timerfd_settime(descriptor_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
  armed_ = next;
}

void TimerHeap::Arm(Knote* knote, Slot slot, int64_t deadline) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (IsPlace(knote->link)) Remove(knote->link - 1);
  // Zero would disarm the timerfd.
  const Timer timer{deadline > 0 ? deadline : 1, slot, 0, knote};
  heap_.push_back(timer);
  SiftUp(heap_.size() - 1, timer);
  SetDescriptor();
}

void TimerHeap::Disarm(Knote* knote) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (IsPlace(knote->link)) {
    Remove(knote->link - 1);
    SetDescriptor();
  }
  knote->link = 0;
}

void TimerHeap::TakeDue(std::vector<Timer>* due) {
  std::lock_guard<std::mutex> guard(mutex_);
  const int64_t now = Now();
  while (!heap_.empty() && heap_.front().deadline <= now) {
    due->push_back(heap_.front());
    Remove(0);
    Timer& taken = due->back();
    taken.receipt = taken.knote->link = kReceipt | receipts_++;
  }
  armed_ = 0;  // it has expired, or the clock was read after it: set it anew
  SetDescriptor();
}

bool TimerHeap::Settle(const Timer& timer) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (timer.knote->link != timer.receipt) return false;
  timer.knote->link = 0;
  return true;
}

}  // namespace kevent
