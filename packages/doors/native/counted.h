// What several threads use at once: the last one to go destroys it. (std::shared_ptr would do, but its
// counting needs a newer C library than Node does.)
#ifndef X_DOORS_COUNTED_H_
#define X_DOORS_COUNTED_H_

#include <atomic>
#include <cstdint>
#include <utility>

namespace doors {

class Counted {
 public:
  Counted() = default;
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

  void Retain() { users_.fetch_add(1, std::memory_order_relaxed); }
  // Whether this was the last user. Pairs with itself: what all others have done is done by then.
  bool Release() { return users_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

 protected:
  ~Counted() = default;

 private:
  std::atomic<uint32_t> users_{1};
};

template <typename T>
class Shared {
 public:
  Shared() = default;
  // Takes over the first use of something new.
  explicit Shared(T* made) : it_(made) {}
  Shared(const Shared& other) : it_(other.it_) {
    if (it_ != nullptr) it_->Retain();
  }
  Shared(Shared&& other) noexcept : it_(std::exchange(other.it_, nullptr)) {}
  Shared& operator=(Shared other) noexcept {
    std::swap(it_, other.it_);
    return *this;
  }
  ~Shared() {
    if (it_ != nullptr && it_->Release()) delete it_;
  }

  T* get() const { return it_; }
  T* operator->() const { return it_; }
  T& operator*() const { return *it_; }
  explicit operator bool() const { return it_ != nullptr; }

 private:
  T* it_ = nullptr;
};

}  // namespace doors

#endif  // X_DOORS_COUNTED_H_
