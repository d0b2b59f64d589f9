#include "client_session.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "copy.h"
#include "monotonic.h"

namespace doors {
namespace {

// How long the area is looked at before the wait goes to the socket, which a death of the server ends. It is
// longer than a tick, and so mostly not the processor's next timer, which would have to be set for each call.
constexpr int64_t kPatienceMicroseconds = 10'000;

// Where the data of a reply goes, or null.
char* MakeRoom(uint64_t length, int32_t status, Response& response) {
  response.place = Place::kMemory;
  if (status == 0 && response.out != nullptr && length <= response.out_size) {
    response.place = Place::kOut;
    return response.out;
  }
  if (length <= kScratch) {
    response.place = Place::kScratch;
    return response.scratch;
  }
  response.memory = Memory(length);
  return response.memory.get();
}

}  // namespace

Deadline::Deadline(int64_t nanoseconds) : endless_(false), at_(Now() + nanoseconds) {}

int64_t Deadline::Left() const {
  return std::max<int64_t>(at_ - Now(), 0);
}

int ClientSession::Call(const Request& request, Waiter& waiter, const Deadline& deadline,
                        Response& response) {
  if (over_) return -EPIPE;
  if (!AreDescriptors(request.descriptors, request.count)) return -EINVAL;
  int error = Exchange(request, waiter, deadline, response);
  // The other end was closed with something unread in it.
  if (error == -ECONNRESET) error = -EPIPE;
  over_ = error != 0;
  if (error != 0) response.descriptors.Close();
  part_.reset();
  return error;
}

int ClientSession::Exchange(const Request& request, Waiter& waiter, const Deadline& deadline,
                            Response& response) {
  Message message = request.ToMessage();
  const bool in_area = area_.here();
  if (in_area) vigil_.Arm(area_.reply());
  int result = in_area ? area_.Put(request, message) : 1;
  if (result > 0) result = SendAll(message, waiter, deadline);
  if (result < 0) return result;
  response.sent = true;
  Posted posted{};
  result = in_area ? WaitInArea(deadline, posted) : 0;
  if (result < 0) return result;
  if (result == 0) return ReceiveAll(request.sequence, waiter, deadline, response);
  return ClientArea::IsReply(posted, request.sequence) ? TakePosted(posted, response) : -EPROTO;
}

int ClientSession::SendAll(Message& message, Waiter& waiter, const Deadline& deadline) {
  for (;;) {
    const int error = Send(socket_.get(), message);
    if (error != -EAGAIN) return error;
    const int ready = waiter.Wait(socket_.get(), POLLOUT, deadline);
    if (ready < 0) return ready;
  }
}

int ClientSession::WaitInArea(const Deadline& deadline, Posted& posted) {
  int64_t patience = kPatienceMicroseconds;
  if (!deadline.endless()) patience = std::min(patience, deadline.Left() / kNanosecondsOfMicrosecond);
  const Vigil::End end = vigil_.Wait(area_.reply(), patience);
  if (end == Vigil::End::kBroken) return -EPROTO;
  if (end == Vigil::End::kWithdrawn) return 0;
  posted = ReadPost(area_.reply());
  if (posted.how > kBySocket) return -EPROTO;
  return posted.how == kHere ? 1 : 0;
}

int ClientSession::TakePosted(const Posted& posted, Response& response) {
  char* to = MakeRoom(posted.length, posted.status, response);
  if (to == nullptr) return -ENOMEM;
  Copy(to, area_.data(), posted.length);
  response.status = posted.status;
  response.length = posted.length;
  return 0;
}

int ClientSession::ReceiveAll(uint32_t sequence, Waiter& waiter, const Deadline& deadline,
                              Response& response) {
  for (;;) {
    // Not before there is something: a look that finds nothing costs a system call of its own.
    const int ready = waiter.Wait(socket_.get(), POLLIN, deadline);
    if (ready < 0) return ready;
    int result = 0;
    while (result == 0) {
      Landing landing{{}, response.scratch};
      if (part_.has_value()) {
        landing.tail = part_->Tail();
      } else if (response.out_size > 0) {
        landing.tail = {response.out, std::min(response.out_size, kMostPacket)};
      }
      Arrival arrival;
      result = Receive(socket_.get(), landing, arrival);
      if (result == 0) result = Take(landing, arrival, sequence, response);
    }
    if (result > 0) return 0;
    if (result != -EAGAIN) return result;
  }
}

int ClientSession::Take(const Landing& landing, Arrival& arrival, uint32_t sequence, Response& response) {
  const Packet& packet = arrival.packet;
  if (arrival.lost) return -EMFILE;
  if (packet.type == Type::kArea) return part_.has_value() ? -EPROTO : area_.Accept(arrival);
  if (packet.sequence != sequence) return -EPROTO;
  if (packet.type == Type::kReply && !part_.has_value()) {
    const int error = Begin(landing, arrival, response);
    if (error != 0) return error;
  } else if (packet.type != Type::kMore || !part_.has_value()) {
    return -EPROTO;
  } else {
    const bool in_place = landing.tail.iov_len >= arrival.size && arrival.size > 0;
    const char* data =
        in_place ? static_cast<const char*>(landing.tail.iov_base) : landing.Gather(arrival.size);
    if (!part_->Add(data, arrival)) return -EPROTO;
  }
  if (!part_->whole()) return 0;
  response.descriptors = std::move(part_->descriptors());
  return 1;
}

// The first packet of a reply. Its data may be in `out` already, or in the scratch, or in both.
int ClientSession::Begin(const Landing& landing, Arrival& arrival, Response& response) {
  const Packet& packet = arrival.packet;
  if (packet.status == kInArea) {
    Posted posted{};
    int error = area_.Rung(arrival, posted);
    if (error == 0) error = TakePosted(posted, response);
    if (error != 0) return error;
    part_.emplace(Packet{Type::kReply, packet.sequence, 0, 0, 0}, nullptr);
    return 0;
  }
  if (packet.status > 0) return -EPROTO;
  if (packet.length > kMostBytes || packet.descriptors > kMostDescriptors) return -EOVERFLOW;
  char* into = MakeRoom(packet.length, packet.status, response);
  if (into == nullptr) return -ENOMEM;
  response.status = packet.status;
  response.length = packet.length;
  part_.emplace(packet, into);
  const bool in_place = into == landing.tail.iov_base && landing.tail.iov_len >= arrival.size;
  return part_->Add(in_place ? into : landing.Gather(arrival.size), arrival) ? 0 : -EPROTO;
}

}  // namespace doors
