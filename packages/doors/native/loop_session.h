// The client's side of a session whose replies an event loop waits for: nothing here blocks. With an area
// there is one call at a time; without one there are many, and replies come in any order.
#ifndef X_DOORS_LOOP_SESSION_H_
#define X_DOORS_LOOP_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "client_area.h"
#include "descriptor.h"
#include "descriptor_list.h"
#include "memory.h"
#include "outgoing.h"
#include "part.h"
#include "request.h"
#include "rights.h"
#include "vigil.h"

namespace doors {

// A reply that is whole. Its data is in `memory`, where it has some, or in the scratch that it was taken
// with.
struct LoopReply {
  uint32_t sequence = 0;
  // 0, or a negative errno. Of a reply that was not kept: EOVERFLOW, ENOMEM; ECANCELED, nobody waits for it.
  int32_t status = 0;
  uint64_t length = 0;
  Memory memory;
  DescriptorList descriptors;
};

class LoopSession {
 public:
  // `area`: the server is asked for one, and may send it or not.
  LoopSession(Descriptor socket, bool area) : socket_(std::move(socket)), area_(area) {}

  int socket() const { return socket_.get(); }
  // Nothing comes of it any more, but failures.
  bool over() const { return over_; }
  // Something waits for room in the socket.
  bool queued() const { return !over_ && !outgoing_.empty(); }
  // Of a call: not all of it is out. After the end too.
  bool IsQueued(uint32_t sequence) const { return outgoing_.Has(sequence); }

  // Somebody waits for a reply.
  bool awaits() const;

  // 0: it is on its way, or waits for room, with copies of its data and descriptors. After a negative errno
  // it is not: EINVAL (a descriptor of it is none), EPIPE (nobody takes it; replies that are here already can
  // be taken), or whatever sendmsg(2) tells.
  int Call(const Request& request);
  // Nobody waits for the reply: it comes as one that is not kept. Not with an area.
  void Cancel(uint32_t sequence);
  // Sends what waits for room. 0, also when something still does, or a negative errno: it never goes, and the
  // session is to be closed when the replies that are here are taken.
  int Flush();

  // Until the loop waits for something else, its thread looks for the reply itself: no packet rings
  // meanwhile.
  bool looks() const { return !over_ && vigil_.armed(); }
  // As Take, and `looks` is over. 0: a packet will ring.
  int Look(char* scratch, LoopReply& reply);

  // At once, for the server too.
  void Close();

  // 1: a reply. 0: nothing is there. A negative errno: it is over; EMFILE when descriptors of a reply were
  // lost, and nobody knows of which. `scratch` has kScratch bytes.
  int Take(char* scratch, LoopReply& reply);

 private:
  // A call whose reply is not whole.
  struct Awaited {
    uint32_t sequence;
    bool cancelled = false;
    std::optional<Part> part;  // of the reply, from its first packet on
    Memory memory;
    int refusal = 0;  // or why the reply is not kept
  };

  int Failed(int error);
  int TakePacket(char* scratch, LoopReply& reply);
  int Begin(const Landing& landing, Arrival& arrival, LoopReply& reply);
  int TakePosted(size_t index, const Posted& posted, char* scratch, LoopReply& reply);
  int TakeRung(const Arrival& arrival, char* scratch, LoopReply& reply);
  int Continue(const Landing& landing, Arrival& arrival, LoopReply& reply);
  int Complete(size_t index, LoopReply& reply);
  int End(size_t index, int32_t status, uint64_t length, LoopReply& reply);
  size_t IndexOf(uint32_t sequence) const;

  Descriptor socket_;
  ClientArea area_;
  Vigil vigil_;
  bool over_ = false;
  Outgoing outgoing_;
  std::vector<Awaited> awaited_;
  size_t latest_ = 0;  // of awaited_: where the next packet is expected to belong
};

}  // namespace doors

#endif  // X_DOORS_LOOP_SESSION_H_
