// Whether a wait is worth spinning for: only where another processor can end it, and while that goes well.
#ifndef X_DOORS_SPIN_H_
#define X_DOORS_SPIN_H_

#include <cstdint>

namespace doors {

class Spin {
 public:
  static constexpr int64_t kMostMicroseconds = 50;

  // Of the next wait.
  bool Wanted();
  // How a wait ended that began by spinning.
  void Succeeded();
  void Failed();

 private:
  static constexpr uint32_t kMostFailures = 3;
  static constexpr uint32_t kFirstRest = 16;
  static constexpr uint32_t kLastRest = 4096;
  static constexpr uint32_t kLookAgain = 256;

  uint32_t failures_ = 0;
  uint32_t rest_ = 0;  // waits that do not spin
  uint32_t next_rest_ = kFirstRest;
  uint32_t look_ = 0;  // waits until the processors are counted again
  bool alone_ = true;
};

}  // namespace doors

#endif  // X_DOORS_SPIN_H_
