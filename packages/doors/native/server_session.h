// The server's side of one client's session: calls come in, in any thread of the process, and each is
// answered once. Nothing here blocks but the wait that a thread asks for when it takes.
#ifndef X_DOORS_SERVER_SESSION_H_
#define X_DOORS_SERVER_SESSION_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "channel.h"
#include "counted.h"
#include "descriptor_list.h"
#include "door.h"
#include "memory.h"
#include "outgoing.h"
#include "part.h"
#include "running_calls.h"
#include "vigil.h"

namespace doors {

// Of a session (status of its packet).
constexpr uint32_t kSequential = 1;
constexpr uint32_t kWithArea = 2;

enum class Taken : int { kNothing, kCall, kCancel, kOver, kAgain };

// Of what has become of a reply, and of the calls of the door.
enum Fate : int { kQueued = 1, kRest = 2, kGone = 4 };

// What a thread takes. The data of a call is in `memory`, where it has some, or in `scratch`.
struct Take {
  explicit Take(char* room) : scratch(room) {}

  char* scratch;  // kScratch bytes
  uint32_t sequence = 0;
  uint64_t length = 0;
  Memory memory;
  DescriptorList descriptors;
  int fate = 0;  // of kAgain: of the refusal that was answered
};

struct Answer {
  int32_t status = 0;  // 0, or a negative errno
  const char* data = nullptr;
  size_t length = 0;
  const int* descriptors = nullptr;
  size_t count = 0;
};

class ServerSession : public Counted {
 public:
  ServerSession(uint32_t id, Shared<Channel> channel, Shared<Door> door, uint32_t flags)
      : id_(id),
        door_(std::move(door)),
        sequential_((flags & kSequential) != 0),
        channel_(std::move(channel)) {}

  uint32_t id() const { return id_; }
  const Shared<Door>& door() const { return door_; }
  bool sequential() const { return sequential_; }

  // Borrowed; EBADF once it is closed.
  int Descriptor() const;
  // Not closed as long as it is held. Empty once it is closed.
  Shared<Channel> Inside() const;

  // Waits so many microseconds for something to come, if there is nothing yet. A call is the thread's from
  // then on.
  Taken TakeNext(int thread, int64_t linger, Take& take);

  // Ends a call. `lingers`: its thread takes again, and waits, as it does here while its client reads.
  // Returns Fate; EBADF, and nothing has happened, when a descriptor of the answer is none.
  int Reply(uint32_t sequence, const Answer& answer, bool lingers);

  // Sends what waits. Fate.
  int Flush();

  // Nobody waits for the reply.
  bool Aborted(uint32_t sequence) const;
  // Who runs the call; 0 nobody.
  int Thread(uint32_t sequence) const;
  // Calls that have no reply yet: one that waits to be sent is none.
  uint32_t Running() const;
  // A thread was to wait for the next request in the area, and nobody does: no packet rings for it.
  bool Awaited() const;

  // Ends it for the client at once. Calls that run are ended by their replies. Fate.
  int Close();
  // It is closed, and no call runs.
  bool Spent() const;

  // The thread is no more. Its calls are answered. Whether there were any, or it was to linger here.
  bool ThreadGone(int thread);

 private:
  // A call whose packets have not all come.
  struct Begun {
    Part part;
    Memory memory;
    int refusal;  // 0, or why it is not kept
  };
  // Of one packet; empty: there was none, more: it has ended nothing.
  enum class Step : uint8_t { kEmpty, kMore, kCall, kCancel, kOver, kAgain };

  // Whether the wait is in the area, and this thread's. Guarded by mutex_.
  bool BeginVigil(const Area& area, int64_t linger);
  // The end of that wait; kMore: the request comes by the socket.
  Step EndVigil(const Channel& channel, Vigil::End end, int thread, Take& take);
  Taken Receive(const Channel& channel, int64_t linger, bool expected, int thread, Take& take);

  // Each guarded by mutex_.
  Step ReceiveOne(const Channel& channel, int thread, Take& take);
  Step Begin(const Channel& channel, char* data, Arrival& arrival, int thread, Take& take);
  Step Continue(const Channel& channel, const Landing& landing, Arrival& arrival, int thread, Take& take);
  Step Cancel(uint32_t sequence, Take& take);
  Step Rung(const Channel& channel, const Arrival& arrival, int thread, Take& take);
  Step TakePosted(const Channel& channel, const Posted& posted, int thread, Take& take);
  Step Complete(const Channel& channel, const Packet& packet, int refusal, int thread, Take& take);
  void ExpectNext(const Channel& channel, bool lingers, int thread);
  bool MayBegin(uint32_t sequence);
  size_t IndexOf(uint32_t sequence) const;

  int Send(const Channel& channel, uint32_t sequence, const Answer& answer, bool call);
  int FlushWhileRead(const Channel& channel, int fate);
  // Guarded by send_mutex_.
  int SendNow(const Channel& channel, uint32_t sequence, const Answer& answer, bool call);
  // So many calls have ended: Fate.
  int Left(uint32_t calls);

  const uint32_t id_;
  const Shared<Door> door_;
  const bool sequential_;

  // Taken before send_mutex_ where both are. Neither is held in a wait.
  mutable std::mutex mutex_;
  Shared<Channel> channel_;  // guarded by mutex_, as all to send_mutex_; empty once it is closed
  bool broken_ = false;      // nothing is taken any more
  RunningCalls running_;
  std::vector<Begun> begun_;
  size_t latest_ = 0;         // of begun_: where the next packet is expected to belong
  uint64_t begun_bytes_ = 0;  // that are kept
  Vigil vigil_;
  bool posts_ = false;    // the client has found the area
  bool watched_ = false;  // a thread is in the wait of vigil_, which is its own until then
  int lingerer_ = 0;      // who has armed vigil_ and is to wait

  std::mutex send_mutex_;
  Outgoing outgoing_;       // guarded by send_mutex_
  bool send_over_ = false;  // guarded by send_mutex_
  // Replies that wait, as it was when send_mutex_ was let go: a hint.
  std::atomic<uint32_t> queued_{0};
};

}  // namespace doors

#endif  // X_DOORS_SERVER_SESSION_H_
