// What a client has of the area of its session: docs/protocol.md. The first replies may come before it.
#ifndef X_DOORS_CLIENT_AREA_H_
#define X_DOORS_CLIENT_AREA_H_

#include <cstdint>
#include <memory>

#include "area.h"
#include "request.h"
#include "rights.h"

namespace doors {

class ClientArea {
 public:
  explicit ClientArea(bool asked) : asked_(asked) {}

  bool here() const { return area_ != nullptr; }
  Post& reply() const { return area_->reply(); }
  const char* data() const { return area_->data(); }

  // The packet that brings it. 0, or EPROTO.
  int Accept(const Arrival& arrival);

  // Posts a request, when it is known how the reply is waited for. 1: `message`, which is the request or
  // rings for it, has to be sent; 0: it need not; or EPROTO.
  int Put(const Request& request, Message& message);

  // A packet says that the reply is here: 0, or EPROTO.
  int Rung(const Arrival& arrival, Posted& posted) const;

  // Whether that is what a server may post as the reply to this call. Its data is to be copied once, before
  // anybody looks at it.
  static bool IsReply(const Posted& posted, uint32_t sequence) {
    return posted.how == kHere && posted.sequence == sequence && posted.status <= 0 &&
           posted.length <= kAreaData;
  }

 private:
  const bool asked_;
  std::unique_ptr<Area> area_;
};

}  // namespace doors

#endif  // X_DOORS_CLIENT_AREA_H_
