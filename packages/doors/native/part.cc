#include "part.h"

#include <algorithm>
#include <cstring>

namespace doors {

iovec Part::Tail() const {
  if (into_ == nullptr) return {};
  return {into_ + filled_, static_cast<size_t>(std::min<uint64_t>(packet_.length - filled_, kMostPacket))};
}

bool Part::Add(const char* data, Arrival& arrival) {
  const uint32_t missing = packet_.descriptors - arrived_;
  const uint32_t came = arrival.Came(missing);
  if (arrival.size > packet_.length - filled_ || came > missing) return false;
  if (into_ != nullptr) {
    if (arrival.size > 0 && data != into_ + filled_) memcpy(into_ + filled_, data, arrival.size);
    for (uint32_t i = 0; i < arrival.count(); ++i) descriptors_.Add(arrival.descriptors()[i]);
    arrival.Claim();
  }
  arrival.Close();
  filled_ += arrival.size;
  arrived_ += came;
  lost_ = lost_ || arrival.lost;
  return true;
}

}  // namespace doors
