// The wait for a post in an area, which may be declared before the wait begins.
#ifndef X_DOORS_VIGIL_H_
#define X_DOORS_VIGIL_H_

#include <cstdint>

#include "area.h"
#include "spin.h"

namespace doors {

class Vigil {
 public:
  enum class End : uint8_t { kPosted, kWithdrawn, kBroken };

  // Whether a Wait has to follow: the other side does not ring.
  bool armed() const { return armed_; }

  // Before anything can be posted: the wait is here, or it is on the socket.
  void Arm(Post& post);
  void Disarm(Post& post);
  // The wait is here, and this thread comes to it some time: nobody has to wake it.
  void ArmLater(Post& post);
  // As Arm, at any time. False when something is posted already, for which a packet rings.
  bool TryArm(Post& post);

  // Waits so many microseconds. It was armed and is not after that. kWithdrawn: a packet will ring. kBroken:
  // the other side has written what it must not.
  End Wait(Post& post, int64_t patience);

 private:
  End Spins(Post& post, int64_t until);
  End Sleeps(Post& post, int64_t until);

  bool armed_ = false;
  bool spins_ = false;
  Spin spin_;
};

}  // namespace doors

#endif  // X_DOORS_VIGIL_H_
