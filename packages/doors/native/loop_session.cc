#include "loop_session.h"

#include <algorithm>
#include <cerrno>

#include "copy.h"

namespace doors {
namespace {

// A server that sends without end has the loop only for so many packets at a time.
constexpr int kMostPackets = 64;

// What is longer is not copied once more, but given away in memory of its own.
constexpr size_t kMostCopied = size_t{128} * 1024;

}  // namespace

bool LoopSession::awaits() const {
  return std::any_of(awaited_.begin(), awaited_.end(),
                     [](const Awaited& awaited) { return !awaited.cancelled; });
}

int LoopSession::Call(const Request& request) {
  if (over_) return -EPIPE;
  if (!AreDescriptors(request.descriptors, request.count)) return -EINVAL;
  Message message = request.ToMessage();
  const bool posts = area_.here();
  if (posts) vigil_.ArmLater(area_.reply());
  int result = posts ? area_.Put(request, message) : 1;
  if (result < 0) return Failed(result);
  if (result > 0) result = outgoing_.Add(socket_.get(), message, true);
  if (result == 0 || result == -EAGAIN) {
    awaited_.push_back({request.sequence, false, {}, {}, 0});
    return 0;
  }
  if (!posts && (result == -EPIPE || result == -ECONNRESET)) return -EPIPE;
  // What has not begun to go leaves the session as it was, unless the server may know of it.
  return posts || message.begun ? Failed(result) : result;
}

void LoopSession::Cancel(uint32_t sequence) {
  const size_t index = IndexOf(sequence);
  if (over_ || index == awaited_.size()) return;
  awaited_[index].cancelled = true;
  Message message{{Type::kCancel, sequence, 0, 0, 0}, nullptr, 0, nullptr, 0, false};
  outgoing_.Add(socket_.get(), message, false);
}

int LoopSession::Flush() {
  uint32_t ended = 0;
  const int error = over_ ? -EPIPE : outgoing_.Flush(socket_.get(), ended);
  return error == -EAGAIN ? 0 : error;
}

int LoopSession::Take(char* scratch, LoopReply& reply) {
  for (int packets = 0; packets < kMostPackets; ++packets) {
    if (over_) return -EPIPE;
    const int result = TakePacket(scratch, reply);
    if (result == -EAGAIN) return 0;
    if (result < 0) return Failed(result);
    if (result > 0) return result;
  }
  return 0;
}

void LoopSession::Close() {
  Failed(-EPIPE);
  outgoing_.Clear();
  socket_ = Descriptor();
}

int LoopSession::Failed(int error) {
  over_ = true;
  awaited_.clear();
  return error == -ECONNRESET ? -EPIPE : error;
}

// 1: a reply is whole. 0: something else has come.
int LoopSession::TakePacket(char* scratch, LoopReply& reply) {
  Landing landing{{}, scratch};
  if (latest_ < awaited_.size() && awaited_[latest_].part.has_value()) {
    landing.tail = awaited_[latest_].part->Tail();
  }
  Arrival arrival;
  const int error = Receive(socket_.get(), landing, arrival);
  // The other end was closed with something unread in it, which is told once, and before what has come.
  if (error == -ECONNRESET) return 0;
  if (error != 0) return error;
  if (arrival.lost) return -EMFILE;
  const Packet& packet = arrival.packet;
  if (packet.type == Type::kMore) return Continue(landing, arrival, reply);
  landing.Gather(arrival.size);
  if (packet.type == Type::kArea) return area_.Accept(arrival);
  if (packet.type != Type::kReply) return -EPROTO;
  return packet.status == kInArea ? TakeRung(arrival, scratch, reply) : Begin(landing, arrival, reply);
}

int LoopSession::Look(char* scratch, LoopReply& reply) {
  if (over_) return -EPIPE;
  const Vigil::End end = vigil_.Wait(area_.reply(), 0);
  if (end == Vigil::End::kWithdrawn) return 0;
  const Posted posted = ReadPost(area_.reply());
  if (end == Vigil::End::kPosted && posted.how == kBySocket) return 0;  // its packets ring
  const size_t index = IndexOf(posted.sequence);
  const bool good =
      end == Vigil::End::kPosted && index < awaited_.size() && ClientArea::IsReply(posted, posted.sequence);
  const int result = good ? TakePosted(index, posted, scratch, reply) : -EPROTO;
  return result < 0 ? Failed(result) : result;
}

int LoopSession::TakeRung(const Arrival& arrival, char* scratch, LoopReply& reply) {
  const size_t index = IndexOf(arrival.packet.sequence);
  if (index == awaited_.size() || awaited_[index].part.has_value()) return -EPROTO;
  Posted posted{};
  const int error = area_.Rung(arrival, posted);
  return error != 0 ? error : TakePosted(index, posted, scratch, reply);
}

int LoopSession::TakePosted(size_t index, const Posted& posted, char* scratch, LoopReply& reply) {
  if (posted.length > kMostCopied) {
    reply.memory = Memory(posted.length);
    if (!reply.memory.valid()) return -ENOMEM;
    scratch = reply.memory.get();
  }
  Copy(scratch, area_.data(), posted.length);
  return End(index, posted.status, posted.length, reply);
}

// The first packet of a reply. Its data is in the scratch.
int LoopSession::Begin(const Landing& landing, Arrival& arrival, LoopReply& reply) {
  const Packet packet = arrival.packet;
  const size_t index = IndexOf(packet.sequence);
  if (index == awaited_.size() || packet.status > 0) return -EPROTO;
  Awaited& awaited = awaited_[index];
  if (awaited.part.has_value()) return -EPROTO;
  if (arrival.IsWhole() && !awaited.cancelled) {
    for (uint32_t i = 0; i < arrival.count(); ++i) reply.descriptors.Add(arrival.descriptors()[i]);
    arrival.Claim();
    return End(index, packet.status, packet.length, reply);
  }
  if (awaited.cancelled) {
    awaited.refusal = -ECANCELED;
  } else if (packet.length > kMostBytes || packet.descriptors > kMostDescriptors) {
    awaited.refusal = -EOVERFLOW;
  } else {
    awaited.memory = Memory(packet.length);
    if (!awaited.memory.valid()) awaited.refusal = -ENOMEM;
  }
  awaited.part.emplace(packet, awaited.memory.get());
  latest_ = index;
  if (!awaited.part->Add(landing.scratch, arrival)) return -EPROTO;
  return Complete(index, reply);
}

int LoopSession::Continue(const Landing& landing, Arrival& arrival, LoopReply& reply) {
  const size_t index = IndexOf(arrival.packet.sequence);
  if (index == awaited_.size() || !awaited_[index].part.has_value()) return -EPROTO;
  const bool in_place = index == latest_ && landing.tail.iov_len >= arrival.size && arrival.size > 0;
  const char* data =
      in_place ? static_cast<const char*>(landing.tail.iov_base) : landing.Gather(arrival.size);
  if (!awaited_[index].part->Add(data, arrival)) return -EPROTO;
  latest_ = index;
  return Complete(index, reply);
}

// Of the reply whose packet has just been added: 1 when it is whole.
int LoopSession::Complete(size_t index, LoopReply& reply) {
  Awaited& awaited = awaited_[index];
  if (!awaited.part->whole()) return 0;
  const Packet packet = awaited.part->packet();
  if (awaited.cancelled) awaited.refusal = -ECANCELED;
  if (awaited.refusal != 0) return End(index, awaited.refusal, 0, reply);
  reply.memory = std::move(awaited.memory);
  reply.descriptors = std::move(awaited.part->descriptors());
  return End(index, packet.status, packet.length, reply);
}

int LoopSession::End(size_t index, int32_t status, uint64_t length, LoopReply& reply) {
  reply.sequence = awaited_[index].sequence;
  reply.status = status;
  reply.length = length;
  awaited_.erase(awaited_.begin() + static_cast<std::ptrdiff_t>(index));
  return 1;
}

size_t LoopSession::IndexOf(uint32_t sequence) const {
  const auto found = std::find_if(awaited_.begin(), awaited_.end(), [sequence](const Awaited& awaited) {
    return awaited.sequence == sequence;
  });
  return static_cast<size_t>(found - awaited_.begin());
}

}  // namespace doors
