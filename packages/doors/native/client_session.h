// The client's side of a session that one thread uses, one call at a time: each blocks until its reply is
// here.
#ifndef X_DOORS_CLIENT_SESSION_H_
#define X_DOORS_CLIENT_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "client_area.h"
#include "descriptor.h"
#include "descriptor_list.h"
#include "memory.h"
#include "part.h"
#include "request.h"
#include "rights.h"
#include "vigil.h"

namespace doors {

// Until when a call waits.
class Deadline {
 public:
  Deadline() = default;  // for ever
  explicit Deadline(int64_t nanoseconds);

  bool endless() const { return endless_; }
  // Nanoseconds; 0 when it is over. Of no meaning for an endless one.
  int64_t Left() const;

 private:
  bool endless_ = true;
  int64_t at_ = 0;
};

// How the calling thread waits for a socket.
class Waiter {
 public:
  // What poll(2) tells of the socket, or ETIMEDOUT, or why this thread may not wait any more.
  virtual int Wait(int socket, short events, const Deadline& deadline) = 0;

 protected:
  ~Waiter() = default;
};

enum class Place : int { kOut, kScratch, kMemory };

// The reply to a call. Its data is put into `out` if there is room; that may have been written to in any
// case.
struct Response {
  explicit Response(char* room) : scratch(room) {}

  char* scratch;  // kScratch bytes
  char* out = nullptr;
  size_t out_size = 0;

  bool sent = false;  // the request, with its descriptors, was out whole
  int32_t status = 0;
  uint64_t length = 0;
  Place place = Place::kScratch;
  Memory memory;
  DescriptorList descriptors;
};

class ClientSession {
 public:
  // `asked`: for an area, which the server may send or not.
  ClientSession(Descriptor socket, bool asked) : socket_(std::move(socket)), area_(asked) {}

  // 0, or a negative errno. EINVAL (a descriptor of the request is none) leaves the session as it was; after
  // all others it is over, and each call is EPIPE. EMFILE: descriptors of the reply were lost.
  int Call(const Request& request, Waiter& waiter, const Deadline& deadline, Response& response);

 private:
  int Exchange(const Request& request, Waiter& waiter, const Deadline& deadline, Response& response);
  int SendAll(Message& message, Waiter& waiter, const Deadline& deadline);
  // 1: the reply is in the area. 0: it comes by the socket.
  int WaitInArea(const Deadline& deadline, Posted& posted);
  int TakePosted(const Posted& posted, Response& response);
  int ReceiveAll(uint32_t sequence, Waiter& waiter, const Deadline& deadline, Response& response);
  // Of one packet: 1 when the reply is whole.
  int Take(const Landing& landing, Arrival& arrival, uint32_t sequence, Response& response);
  int Begin(const Landing& landing, Arrival& arrival, Response& response);

  Descriptor socket_;
  bool over_ = false;
  ClientArea area_;
  Vigil vigil_;
  std::optional<Part> part_;  // the reply, between its first packet and its last
};

}  // namespace doors

#endif  // X_DOORS_CLIENT_SESSION_H_
