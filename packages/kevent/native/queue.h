// One kqueue, shared by the threads of a process.
//
// Below lies one epoll instance. Each watched descriptor is registered there once, edge-triggered; all that
// kqueue adds (disable, dispatch, one-shot, force, filters without a descriptor) is the state word of a knote
// in user memory. Knotes that are due stand in one ready ring, from which any thread claims them one at a
// time; whoever finds the ring empty waits in epoll_wait(2) on the shared instance, so that the kernel wakes
// exactly one thread per event. A push from user memory (a trigger, a forced one-shot, a re-enabled knote
// that is still ready) wakes one sleeper through an eventfd in the same epoll instance.
#ifndef X_KEVENT_QUEUE_H_
#define X_KEVENT_QUEUE_H_

#include <sys/epoll.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "descriptor.h"
#include "filter.h"
#include "filter_empty.h"
#include "filter_mount.h"
#include "filter_process.h"
#include "filter_signal.h"
#include "filter_vnode.h"
#include "kevent.h"
#include "knote.h"
#include "knote_table.h"
#include "ready_queue.h"
#include "timer_heap.h"

namespace kevent {

// Statistics: relaxed throughout, nothing is ordered by them. They may be in memory that others read, as an
// array of 64-bit numbers in this order.
struct Counters {
  std::atomic<uint64_t> delivered{0};    // events returned by kevent()
  std::atomic<uint64_t> forced{0};       // of these, delivered because of EV_FORCEONESHOT
  std::atomic<uint64_t> stale{0};        // taken from the ring and found not ready
  std::atomic<uint64_t> slept{0};        // times that a thread went to sleep
  std::atomic<uint64_t> woken{0};        // wake-ups that a push sent to a sleeper
  std::atomic<uint64_t> interrupted{0};  // waits that were ended from outside
  std::atomic<uint64_t> duplicates{0};   // edges dropped, for a knote that had one to be delivered already
  std::atomic<uint64_t> ring_high{0};    // the most knotes that a claim found in the ring
};
static_assert(sizeof(Counters) == 64 && std::atomic<uint64_t>::is_always_lock_free);

// One thread's end of a queue: who holds a dispatched knote, and how its wait is ended from outside.
class Consumer {
 public:
  explicit Consumer(uint32_t id) : id_(id) {}
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  uint32_t id() const { return id_; }

 private:
  friend class Queue;
  const uint32_t id_;
  std::atomic<bool> interrupted_{false};
  std::atomic<pid_t> thread_{0};  // that waits; 0 until the first time
  uint32_t claims_since_harvest_ = 0;
};

// An event that nothing in the queue tells of any more, and whose thread has died with it.
struct Orphan {
  KEvent event;
  uint32_t holder;
};

// A knote as kq.list() and kq.held() show it.
struct KnoteView {
  KEvent event;  // flags: sticky flags; data, fflags: as given
  uint32_t holder;
  bool disabled;
  bool queued;
};

class Queue {
 public:
  static constexpr int64_t kForever = -1;

  // Null and an errno when the kernel refuses a descriptor. `counters`, if given, are zero, and outlive every
  // call of a member but the destructor.
  static std::unique_ptr<Queue> Make(int* error, Counters* counters = nullptr);
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue();

  // kevent(2). Applies the changes, then returns up to `max` events, waiting for at most `timeout` ns for the
  // first; a negative one other than kForever is -EINVAL once the changes are applied. Returns the number of
  // events, or -errno, with the changes applied: -EBADF when the queue is closed, -ECANCELED when the wait
  // was ended by Interrupt, -EINTR when it was by a signal. The two lists may be the same memory.
  int Kevent(const KEvent* changes, int change_count, KEvent* events, int max, int64_t timeout,
             Consumer* consumer);

  std::unique_ptr<Consumer> MakeConsumer();
  // Ends a wait of `consumer`: the one that is under way, or else the next one. A wait that finds events at
  // the same moment returns them, and has taken the interrupt with it. The consumer's thread is alive.
  void Interrupt(Consumer* consumer);
  // Forgets an interrupt that no wait has seen.
  void ForgetInterrupt(Consumer* consumer);

  // Events that `consumer` has claimed and that nobody has seen, because its thread died in between, are due
  // again: each as it was, for any thread.
  void GiveBack(const KEvent* events, int count, const Consumer& consumer);
  // Events that `consumer` has seen last, and in whose handlers its thread died, or just before or after:
  // those that are neither held nor due again are kept for TakeOrphans.
  void Orphaned(const KEvent* events, int count, const Consumer& consumer);
  std::vector<Orphan> TakeOrphans();

  // Every wait ends with -EBADF, and every later call.
  void Close();
  bool closed() const { return closed_.load(std::memory_order_acquire); }

  // Removes the descriptor's knotes, then closes it. Returns 0 or an errno.
  int CloseDescriptor(int descriptor);
  // Removes the descriptor's knotes and leaves it open, for hand-over. Returns 0, or ENOENT if it has none.
  int Detach(int descriptor);

  // Readable while something may be due: for other event loops. Such a loop either calls Arm before it sleeps
  // and Disarm when it wakes, so that pushes know of it (Arm returns false when something is due already), or
  // Expose once, which counts as a sleeper for ever.
  int descriptor() const { return epoll_.get(); }
  void Expose();
  // How many knotes are due, as a queue that watches this one tells.
  size_t CountDue();
  bool Arm();
  void Disarm();

  std::vector<KnoteView> List();
  const Counters& counters() const { return *counters_; }

 private:
  struct Recheck;  // enabled knotes of a changelist whose level is read together
  struct Hand;     // due knotes that a thread has taken from epoll and may keep
  class Claiming;  // for as long as it lives, its thread is one of claims_

  Queue(Descriptor epoll, Descriptor wake, Counters* counters);
  bool Start(int* error);

  // Changes.
  int Register(const KEvent& change, Recheck* recheck);
  int RegisterDescriptor(const KEvent& change, Recheck* recheck);
  int RegisterName(const KEvent& change);
  int MakeDescriptorKnote(const KEvent& change, DescriptorRecord* record);
  int MakeNamedKnote(const KEvent& change);
  Slot FindNamed(const KEvent& change);
  int RemoveDescriptor(const KEvent& change);
  int RemoveName(const KEvent& change);
  bool DetachNamed(int descriptor);
  void DropNamed(Knote* knote, Slot slot);
  void LetGo(Knote* knote, Slot slot);
  Filter* FilterOf(const Knote& knote);
  int Modify(Slot slot, const KEvent& change, Recheck* recheck);
  bool Defer(Knote* knote, const KEvent& change);
  Slot NewKnote(const KEvent& change);
  void Touch(Knote* knote, Slot slot, const KEvent& change, bool creating);
  void TouchUser(Knote* knote, const KEvent& change);
  int Prepare(const KEvent& change);
  void ArmTimer(Knote* knote, Slot slot);
  TimerHeap* HeapOf(const Knote& knote);
  int ReadLevels(Recheck* recheck, KEvent* errors, int room, int* failed);
  void WakeFor(const Recheck& recheck);

  // Descriptor registration; called with the record's lock held.
  int Watch(int descriptor, DescriptorRecord* record, bool adding);
  bool Forget(int descriptor, DescriptorRecord* record);
  bool IsRegistered(int descriptor);
  bool IsAnother(int64_t descriptor, Slot slot);
  void DropDescriptorKnote(DescriptorRecord* record, int which);
  void DropLive(DescriptorRecord* record, int which, Knote* knote, Slot slot);
  bool DropBoth(int descriptor, DescriptorRecord* record);
  bool DetachStale(int descriptor, Slot slot, uint32_t generation);

  // Delivery.
  void Push(Slot slot);
  // Unlocks a knote, and pushes it if it has become due.
  void Unlock(Knote* knote, Slot slot, uint32_t set = 0, uint32_t clear = 0);
  int ClaimEdges(int max, KEvent* events, Consumer* consumer);
  int ClaimHand(const Hand& hand, int max, KEvent* events, Consumer* consumer);
  int ClaimFromRing(int max, size_t budget, KEvent* events, Consumer* consumer);
  int ClaimUpTo(int max, KEvent* events, Consumer* consumer);
  int ClaimSettled(int max, KEvent* events, Consumer* consumer);
  bool Claim(Slot slot, KEvent* event, Consumer* consumer);
  Verdict Confirm(const Knote& knote);
  Verdict Evaluate(Knote* knote, Slot slot, uint64_t state, Level* level);
  Verdict EvaluateRead(const Knote& knote, uint64_t state, Level* level);
  Verdict EvaluateWrite(Knote* knote, Slot slot, Level* level);
  void Deliver(Knote* knote, Slot slot, uint64_t state, const Level& level, KEvent* event,
               Consumer* consumer);
  void Finish(Knote* knote, Slot slot);
  void LookAgain(Knote* knote, Slot slot);
  void Release(Slot slot, Knote* knote);

  // Giving back.
  void Return(const KEvent& event, const Consumer& consumer);
  void Remake(const KEvent& event);
  Slot MakeUnlessThere(const KEvent& change);
  Slot Find(const KEvent& event);

  // Waiting.
  int Harvest(int64_t timeout, int most, Hand* hand);
  void Activate(uint64_t tag, uint32_t events, Hand* hand);
  void RunTimers(TimerHeap* heap);
  void RunFilter(Filter* filter);
  void ActivateKnote(uint64_t tag);
  int Wait(KEvent* events, int max, int64_t timeout, Consumer* consumer);
  int Sleep(int64_t timeout, int max, Hand* hand, Consumer* consumer);
  void WakeOne();
  void WriteWake();

  const Descriptor epoll_;
  const Descriptor wake_;
  KnoteTable knotes_;
  DescriptorTable descriptors_;
  NameTable names_;
  std::atomic<uint32_t> named_by_descriptor_{0};  // knotes in names_ whose idents are descriptors
  ReadyQueue ready_{&knotes_};
  VnodeFilter vnode_{epoll_.get()};
  ProcessFilter process_{epoll_.get()};
  SignalFilter signal_{epoll_.get()};
  MountFilter mount_{epoll_.get()};
  EmptyFilter empty_;
  TimerHeap monotonic_{CLOCK_MONOTONIC};
  TimerHeap realtime_{CLOCK_REALTIME};

  // Low half: threads and loops that sleep, or are about to. High half: wake-ups written for them and not
  // yet taken. Pairs with ReadyQueue::Size: a sleeper counts itself, then looks at the ring; a pusher fills
  // it, then looks at the count; in the one total order of these operations one of them sees the other.
  std::atomic<uint64_t> sleepers_{0};
  // Low half: threads that take from epoll without waiting, or from the ring, now. High half: how often one
  // of them has finished. An empty ring is not the last word while another thread has an edge in its hands,
  // or a level-triggered knote on its way back.
  std::atomic<uint64_t> claims_{0};
  std::atomic<bool> exposed_{false};
  std::atomic<bool> closed_{false};
  std::atomic<uint32_t> next_consumer_{1};
  std::mutex orphans_mutex_;
  std::vector<Orphan> orphans_;  // guarded by orphans_mutex_
  Counters own_counters_;
  Counters* const counters_;
};

}  // namespace kevent

#endif  // X_KEVENT_QUEUE_H_
