// What all threads of a process know of a door that it serves.
#ifndef X_DOORS_DOOR_H_
#define X_DOORS_DOOR_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "counted.h"

namespace doors {

class Door : public Counted {
 public:
  // Takes over the mapping of the page. `owner` is whose door it is, and nothing but a name here.
  Door(uint32_t number, const void* page, std::string source, const void* owner)
      : number_(number), page_(static_cast<const char*>(page)), source_(std::move(source)), owner_(owner) {}
  ~Door();

  uint32_t number() const { return number_; }
  const std::string& source() const { return source_; }
  const char* page() const { return page_; }
  const void* owner() const { return owner_; }

  // 0, or the errno that such a call is refused with now, in the order of door_call(3C).
  int Refusal(uint64_t length, uint32_t descriptors) const;

  // A call begins, and has to leave. False: it must not run, because the door is revoked or closed.
  bool Enter();
  // A call ended: its reply is out, or there is nobody to have it. Whether its owner is to hear that none
  // runs.
  bool Leave();
  uint32_t running() const { return running_.load(std::memory_order_seq_cst); }
  // Whether the owner is to hear. Returns how many run.
  uint32_t Want(bool want);

  // No call begins any more.
  void Close() { closed_.store(true, std::memory_order_seq_cst); }
  bool closed() const { return closed_.load(std::memory_order_seq_cst); }

 private:
  template <typename T>
  T Field(size_t offset) const;
  bool Revoked() const;

  const uint32_t number_;
  const char* const page_;
  const std::string source_;
  const void* const owner_;
  std::atomic<uint32_t> running_{0};
  std::atomic<bool> want_{false};
  std::atomic<bool> closed_{false};
};

}  // namespace doors

#endif  // X_DOORS_DOOR_H_
