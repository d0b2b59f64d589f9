// The socket and the area of a session. Who is inside of a call on them keeps them from being closed.
#ifndef X_DOORS_CHANNEL_H_
#define X_DOORS_CHANNEL_H_

#include <memory>
#include <utility>

#include "area.h"
#include "counted.h"
#include "descriptor.h"

namespace doors {

struct Channel : Counted {
  Channel(Descriptor taken, std::unique_ptr<Area> shared)
      : socket(std::move(taken)), area(std::move(shared)) {}

  const Descriptor socket;
  const std::unique_ptr<Area> area;  // null when there is none
};

// Before it is used: 0, or EPROTOTYPE for what is no Unix socket of type SOCK_SEQPACKET.
int PrepareSocket(int socket);

}  // namespace doors

#endif  // X_DOORS_CHANNEL_H_
