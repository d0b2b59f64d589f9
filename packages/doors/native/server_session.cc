#include "server_session.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "copy.h"
#include "monotonic.h"

namespace doors {
namespace {

using Lock = std::lock_guard<std::mutex>;

// A client that sends without end has a thread only for so many packets, and so many waits, at a time.
constexpr int kMostPackets = 64;
constexpr int kMostWaits = 16;

// A client that reads on makes room in less than this; and in so many pieces its reply is out.
constexpr int64_t kFlushMicroseconds = 1000;
constexpr int kMostFlushes = 8192;

// ppoll(2) and not SO_RCVTIMEO, which counts in jiffies.
bool IsReady(int socket, short events, int64_t microseconds) {
  pollfd polled{socket, events, 0};
  const timespec time = TimespecOf(microseconds * kNanosecondsOfMicrosecond);
  return ppoll(&polled, 1, &time, nullptr) > 0;
}

// What a client is told whose reply's descriptors do not go; 0 where it cannot be told anything.
int InsteadOf(int error) {
  if (error == -EBADF) return -EINVAL;  // closed since it was looked at
  return error == -ETOOMANYREFS || error == -EMFILE || error == -ENFILE ? -EMFILE : 0;
}

}  // namespace

Shared<Channel> ServerSession::Inside() const {
  const Lock lock(mutex_);
  return channel_;
}

int ServerSession::Descriptor() const {
  const Lock lock(mutex_);
  return channel_ ? channel_->socket.get() : -EBADF;
}

// --- Taking

Taken ServerSession::TakeNext(int thread, int64_t linger, Take& take) {
  Shared<Channel> channel;
  bool in_area = false;
  {
    const Lock lock(mutex_);
    if (!channel_ || broken_) return Taken::kOver;
    if (watched_) return Taken::kNothing;
    channel = channel_;
    in_area = channel->area != nullptr && BeginVigil(*channel->area, linger);
  }
  if (in_area) {
    const Vigil::End end = vigil_.Wait(channel->area->request(), linger);
    const Step step = EndVigil(*channel, end, thread, take);
    if (step == Step::kEmpty && linger <= 0) return Taken::kNothing;
    if (step == Step::kCall) return Taken::kCall;
    if (step == Step::kAgain) return Taken::kAgain;
    if (step == Step::kOver) return Taken::kOver;
    in_area = step == Step::kMore;
    // Otherwise nothing was posted: a client that does not know of the area, or its end.
  } else if (linger > 0 && !IsReady(channel->socket.get(), POLLIN, linger)) {
    return Taken::kNothing;
  }
  return Receive(*channel, linger, in_area, thread, take);
}

bool ServerSession::BeginVigil(const Area& area, int64_t linger) {
  lingerer_ = 0;
  const bool idle = running_.count() == 0 && begun_.empty();
  watched_ = vigil_.armed() || (linger > 0 && posts_ && idle && vigil_.TryArm(area.request()));
  return watched_;
}

ServerSession::Step ServerSession::EndVigil(const Channel& channel, Vigil::End end, int thread, Take& take) {
  const Lock lock(mutex_);
  watched_ = false;
  if (!channel_) return Step::kOver;
  if (end == Vigil::End::kWithdrawn) return Step::kEmpty;
  posts_ = true;
  const Posted posted = ReadPost(channel.area->request());
  if (end == Vigil::End::kPosted && posted.how == kBySocket) return Step::kMore;
  if (end == Vigil::End::kPosted && posted.how == kHere) return TakePosted(channel, posted, thread, take);
  broken_ = true;
  return Step::kOver;
}

// `expected`: packets are known to be on their way.
Taken ServerSession::Receive(const Channel& channel, int64_t linger, bool expected, int thread, Take& take) {
  int waits = linger > 0 ? kMostWaits : 0;
  for (int packets = 0; packets < kMostPackets; ++packets) {
    Step step = Step::kEmpty;
    {
      const Lock lock(mutex_);
      step = ReceiveOne(channel, thread, take);
      if (step == Step::kOver) broken_ = true;
      expected = step == Step::kEmpty ? expected || !begun_.empty() : false;
    }
    if (step == Step::kCall) return Taken::kCall;
    if (step == Step::kCancel) return Taken::kCancel;
    if (step == Step::kOver) return Taken::kOver;
    if (step == Step::kAgain) return Taken::kAgain;
    if (step == Step::kMore) continue;
    if (!expected || waits-- == 0 || !IsReady(channel.socket.get(), POLLIN, linger)) return Taken::kNothing;
  }
  return Taken::kAgain;
}

ServerSession::Step ServerSession::ReceiveOne(const Channel& channel, int thread, Take& take) {
  // It was closed while this thread waited: nothing begins any more.
  if (!channel_) return Step::kOver;
  Landing landing{{}, take.scratch};
  if (latest_ < begun_.size()) landing.tail = begun_[latest_].part.Tail();
  Arrival arrival;
  const int error = doors::Receive(channel.socket.get(), landing, arrival);
  if (error == -EAGAIN) return Step::kEmpty;
  if (error != 0) return Step::kOver;
  if (arrival.packet.type == Type::kMore) return Continue(channel, landing, arrival, thread, take);
  char* data = landing.Gather(arrival.size);
  if (arrival.packet.type == Type::kCancel) return Cancel(arrival.packet.sequence, take);
  if (arrival.packet.type != Type::kCall) return Step::kOver;
  if (arrival.packet.status == kInArea) return Rung(channel, arrival, thread, take);
  return Begin(channel, data, arrival, thread, take);
}

ServerSession::Step ServerSession::Begin(const Channel& channel, char* data, Arrival& arrival, int thread,
                                         Take& take) {
  const Packet packet = arrival.packet;
  if (packet.status != 0 || !MayBegin(packet.sequence)) return Step::kOver;
  if (arrival.IsWhole()) {
    for (uint32_t i = 0; i < arrival.count(); ++i) take.descriptors.Add(arrival.descriptors()[i]);
    arrival.Claim();
    return Complete(channel, packet, arrival.lost ? -EMFILE : 0, thread, take);
  }
  int refusal = door_->Refusal(packet.length, packet.descriptors);
  if (refusal == 0 && begun_bytes_ + packet.length > kMostBytes) refusal = -E2BIG;
  Memory memory;
  if (refusal == 0) memory = Memory(packet.length);
  if (refusal == 0 && !memory.valid()) refusal = -E2BIG;
  Begun begun{Part(packet, memory.get()), std::move(memory), refusal};
  if (!begun.part.Add(data, arrival)) return Step::kOver;
  if (refusal == 0) begun_bytes_ += packet.length;
  latest_ = begun_.size();
  begun_.push_back(std::move(begun));
  return Step::kMore;
}

ServerSession::Step ServerSession::Continue(const Channel& channel, const Landing& landing, Arrival& arrival,
                                            int thread, Take& take) {
  const size_t index = IndexOf(arrival.packet.sequence);
  if (index == begun_.size()) return Step::kOver;
  Begun& begun = begun_[index];
  const bool in_place = index == latest_ && landing.tail.iov_len >= arrival.size && arrival.size > 0;
  const char* data =
      in_place ? static_cast<const char*>(landing.tail.iov_base) : landing.Gather(arrival.size);
  if (!begun.part.Add(data, arrival)) return Step::kOver;
  latest_ = index;
  if (!begun.part.whole()) return Step::kMore;
  const Packet packet = begun.part.packet();
  const int refusal = begun.refusal != 0 ? begun.refusal : begun.part.lost() ? -EMFILE : 0;
  if (begun.part.kept()) begun_bytes_ -= packet.length;
  take.memory = std::move(begun.memory);
  take.descriptors = std::move(begun.part.descriptors());
  begun_.erase(begun_.begin() + static_cast<std::ptrdiff_t>(index));
  latest_ = 0;
  return Complete(channel, packet, refusal, thread, take);
}

ServerSession::Step ServerSession::Cancel(uint32_t sequence, Take& take) {
  if (sequential_) return Step::kOver;
  if (!running_.Cancel(sequence)) return Step::kMore;
  take.sequence = sequence;
  return Step::kCancel;
}

// A packet says that the request is in the area.
ServerSession::Step ServerSession::Rung(const Channel& channel, const Arrival& arrival, int thread,
                                        Take& take) {
  if (channel.area == nullptr || arrival.size > 0 || arrival.count() > 0) return Step::kOver;
  const Post& post = channel.area->request();
  // Pairs with the exchange of PostTo.
  if (post.waits.load(std::memory_order_acquire) != kPosted) return Step::kOver;
  const Posted posted = ReadPost(post);
  if (posted.how != kHere || posted.sequence != arrival.packet.sequence) return Step::kOver;
  posts_ = true;
  return TakePosted(channel, posted, thread, take);
}

ServerSession::Step ServerSession::TakePosted(const Channel& channel, const Posted& posted, int thread,
                                              Take& take) {
  if (posted.length > kAreaData || !MayBegin(posted.sequence)) {
    broken_ = true;
    return Step::kOver;
  }
  // Once, and before anybody looks at it.
  Copy(take.scratch, channel.area->data(), posted.length);
  const Packet packet{Type::kCall, posted.sequence, 0, posted.length, 0};
  return Complete(channel, packet, 0, thread, take);
}

// All of a call is here. `refusal`: why it cannot run, though the door would take it now.
ServerSession::Step ServerSession::Complete(const Channel& channel, const Packet& packet, int refusal,
                                            int thread, Take& take) {
  take.sequence = packet.sequence;
  take.length = packet.length;
  const int now = door_->Refusal(packet.length, packet.descriptors);
  if (now != 0) refusal = now;
  if (refusal == 0) {
    if (door_->Enter()) {
      running_.Add(packet.sequence, thread);
      return Step::kCall;
    }
    take.fate = Left(1);
    refusal = -EBADF;
  }
  take.memory = {};
  take.descriptors.Close();
  ExpectNext(channel, false, thread);
  take.fate |= Send(channel, packet.sequence, {refusal, nullptr, 0, nullptr, 0}, false);
  return Step::kAgain;
}

bool ServerSession::MayBegin(uint32_t sequence) {
  if (running_.Find(sequence) != nullptr || IndexOf(sequence) < begun_.size()) return false;
  const size_t mine = running_.count() + begun_.size();
  const size_t most = sequential_ ? 1 : kMostCalls;
  // A reply that is out may still be in the hint, though its client has begun the next call.
  if (mine + queued_.load(std::memory_order_relaxed) < most) return true;
  const Lock lock(send_mutex_);
  return mine + outgoing_.size() < most;
}

size_t ServerSession::IndexOf(uint32_t sequence) const {
  const auto found = std::find_if(begun_.begin(), begun_.end(), [sequence](const Begun& begun) {
    return begun.part.packet().sequence == sequence;
  });
  return static_cast<size_t>(found - begun_.begin());
}

// --- Answering

int ServerSession::Reply(uint32_t sequence, const Answer& answer, bool lingers) {
  if (!AreDescriptors(answer.descriptors, answer.count)) return -EBADF;
  Shared<Channel> channel;
  {
    const Lock lock(mutex_);
    const RunningCall* call = running_.Find(sequence);
    if (call == nullptr) return kGone;
    const int thread = call->thread;
    // Before it is answered: then its client may use the sequence again.
    running_.Remove(call);
    channel = channel_;
    if (channel) ExpectNext(*channel, lingers, thread);
  }
  if (!channel) return kGone | Left(1);
  const int fate = Send(*channel, sequence, answer, true);
  return lingers ? FlushWhileRead(*channel, fate) : fate;
}

// A client that reads gets the rest of a long reply from the thread that has made it.
int ServerSession::FlushWhileRead(const Channel& channel, int fate) {
  for (int waits = 0; waits < kMostFlushes && (fate & kQueued) != 0; ++waits) {
    if (!IsReady(channel.socket.get(), POLLOUT, kFlushMicroseconds)) break;
    fate = (fate & ~kQueued) | Flush();
  }
  return fate;
}

// Before a reply is posted: how the next request is waited for. A thread that is in that wait decides it
// itself.
void ServerSession::ExpectNext(const Channel& channel, bool lingers, int thread) {
  if (channel.area == nullptr || watched_) return;
  lingerer_ = lingers ? thread : 0;
  Post& request = channel.area->request();
  lingers ? vigil_.Arm(request) : vigil_.Disarm(request);
}

// `call`: the door counts it as running, until its reply is out.
int ServerSession::Send(const Channel& channel, uint32_t sequence, const Answer& answer, bool call) {
  int error = -EPIPE;
  {
    const Lock lock(send_mutex_);
    if (!send_over_) error = SendNow(channel, sequence, answer, call);
    queued_.store(static_cast<uint32_t>(outgoing_.size()), std::memory_order_relaxed);
  }
  if (error == -EAGAIN) return kQueued;
  const int left = call ? Left(1) : 0;
  if (error == 0) return left;
  // Whoever waits for the socket hears of it.
  shutdown(channel.socket.get(), SHUT_RDWR);
  return kGone | left;
}

int ServerSession::SendNow(const Channel& channel, uint32_t sequence, const Answer& answer, bool call) {
  const auto descriptors = static_cast<uint32_t>(answer.count);
  Message message{{Type::kReply, sequence, answer.status, answer.length, descriptors},
                  answer.data,
                  answer.length,
                  answer.descriptors,
                  answer.count,
                  false};
  if (channel.area != nullptr) {
    const bool here = answer.count == 0 && answer.length <= kAreaData;
    if (here && answer.length > 0) Copy(channel.area->data(), answer.data, answer.length);
    const int rings =
        PostTo(channel.area->reply(), {here ? kHere : kBySocket, sequence, answer.status, answer.length});
    if (rings < 0 || (here && rings == 0)) return rings;
    if (here) message = {{Type::kReply, sequence, kInArea, 0, 0}, nullptr, 0, nullptr, 0, false};
  }
  const int error = outgoing_.Add(channel.socket.get(), message, call);
  const int instead = InsteadOf(error);
  if (instead == 0 || message.begun) return error;
  message = {{Type::kReply, sequence, instead, 0, 0}, nullptr, 0, nullptr, 0, false};
  return outgoing_.Add(channel.socket.get(), message, call);
}

int ServerSession::Flush() {
  const Shared<Channel> channel = Inside();
  if (!channel) return kGone;
  uint32_t ended = 0;
  int error = 0;
  {
    const Lock lock(send_mutex_);
    error = outgoing_.Flush(channel->socket.get(), ended);
    if (error != 0 && error != -EAGAIN) ended += outgoing_.Clear();
    queued_.store(static_cast<uint32_t>(outgoing_.size()), std::memory_order_relaxed);
  }
  const int left = Left(ended);
  if (error == 0) return left;
  if (error == -EAGAIN) return kQueued | left;
  shutdown(channel->socket.get(), SHUT_RDWR);
  return kGone | left;
}

int ServerSession::Left(uint32_t calls) {
  bool rest = false;
  for (; calls > 0; --calls) rest = door_->Leave() || rest;
  return rest ? kRest : 0;
}

// --- The end

bool ServerSession::Aborted(uint32_t sequence) const {
  Shared<Channel> channel;
  {
    const Lock lock(mutex_);
    const RunningCall* call = running_.Find(sequence);
    if (!channel_ || broken_ || call == nullptr || call->cancelled) return true;
    channel = channel_;
  }
  pollfd polled{channel->socket.get(), POLLRDHUP, 0};
  return poll(&polled, 1, 0) > 0;
}

int ServerSession::Thread(uint32_t sequence) const {
  const Lock lock(mutex_);
  const RunningCall* call = running_.Find(sequence);
  return call == nullptr ? 0 : call->thread;
}

uint32_t ServerSession::Running() const {
  const Lock lock(mutex_);
  return running_.count();
}

bool ServerSession::Awaited() const {
  const Lock lock(mutex_);
  return !watched_ && vigil_.armed();
}

int ServerSession::Close() {
  Shared<Channel> channel;
  std::vector<Begun> begun;
  {
    const Lock lock(mutex_);
    channel = std::move(channel_);
    begun.swap(begun_);
    latest_ = 0;
  }
  if (!channel) return 0;
  shutdown(channel->socket.get(), SHUT_RDWR);
  uint32_t ended = 0;
  {
    const Lock lock(send_mutex_);
    send_over_ = true;
    ended = outgoing_.Clear();
  }
  return Left(ended);
}

bool ServerSession::Spent() const {
  const Lock lock(mutex_);
  return !channel_ && running_.count() == 0;
}

bool ServerSession::ThreadGone(int thread) {
  bool concerned = false;
  for (;;) {
    uint32_t sequence = 0;
    {
      const Lock lock(mutex_);
      if (lingerer_ == thread) concerned = true;
      uint32_t index = 0;
      while (index < running_.count() && running_.at(index).thread != thread) ++index;
      if (index == running_.count()) return concerned;
      sequence = running_.at(index).sequence;
    }
    concerned = true;
    Reply(sequence, {-EINTR, nullptr, 0, nullptr, 0}, false);
  }
}

}  // namespace doors
