#include "client_area.h"

#include <cerrno>

#include "copy.h"

namespace doors {

int ClientArea::Accept(const Arrival& arrival) {
  if (!asked_ || here() || arrival.packet.length != kAreaData || arrival.count() != 1) return -EPROTO;
  area_ = Area::Map(arrival.descriptors()[0]);
  return here() ? 0 : -EPROTO;
}

int ClientArea::Put(const Request& request, Message& message) {
  const bool fits = request.count == 0 && request.length <= kAreaData;
  if (fits && request.length > 0) Copy(area_->data(), request.data, request.length);
  const int rings = PostTo(area_->request(), {fits ? kHere : kBySocket, request.sequence, 0, request.length});
  if (rings < 0 || !fits) return rings < 0 ? rings : 1;
  message = {{Type::kCall, request.sequence, kInArea, 0, 0}, nullptr, 0, nullptr, 0, false};
  return rings;
}

int ClientArea::Rung(const Arrival& arrival, Posted& posted) const {
  // Pairs with the exchange of PostTo, which comes before the packet.
  const bool may = here() && arrival.size == 0 && arrival.count() == 0 &&
                   reply().waits.load(std::memory_order_acquire) == kPosted;
  if (!may) return -EPROTO;
  posted = ReadPost(reply());
  return IsReply(posted, arrival.packet.sequence) ? 0 : -EPROTO;
}

}  // namespace doors
