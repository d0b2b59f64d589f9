#include "outgoing.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace doors {

int Outgoing::Add(int socket, Message& message, bool call) {
  if (waiting_.empty()) {
    const int error = Send(socket, message);
    if (error != -EAGAIN) return error;
  }
  const int error = Keep(message, call);
  return error == 0 ? -EAGAIN : error;
}

int Outgoing::Keep(const Message& message, bool call) {
  Waiting waiting{message, Memory(message.length), {}, call};
  if (!waiting.data.valid()) return -ENOMEM;
  if (message.length > 0) memcpy(waiting.data.get(), message.data, message.length);
  waiting.message.data = waiting.data.get();
  for (size_t i = 0; i < message.count; ++i) {
    const int duplicate = fcntl(message.descriptors[i], F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) return -errno;
    waiting.descriptors.Add(duplicate);
  }
  waiting.message.descriptors = waiting.descriptors.data();
  waiting_.push_back(std::move(waiting));
  return 0;
}

int Outgoing::Flush(int socket, uint32_t& ended) {
  while (!waiting_.empty()) {
    Waiting& first = waiting_.front();
    const int error = Send(socket, first.message);
    if (error != 0) return error;
    if (first.call) ++ended;
    waiting_.erase(waiting_.begin());
  }
  return 0;
}

bool Outgoing::Has(uint32_t sequence) const {
  return std::any_of(waiting_.begin(), waiting_.end(), [sequence](const Waiting& waiting) {
    const Packet& packet = waiting.message.packet;
    return packet.sequence == sequence && packet.type != Type::kCancel;
  });
}

uint32_t Outgoing::Clear() {
  uint32_t ended = 0;
  for (const Waiting& waiting : waiting_) ended += waiting.call ? 1 : 0;
  waiting_.clear();
  return ended;
}

}  // namespace doors
