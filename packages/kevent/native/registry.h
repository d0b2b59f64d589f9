// The queues of this process by number: how a worker finds the one that another thread shares.
#ifndef X_KEVENT_REGISTRY_H_
#define X_KEVENT_REGISTRY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "queue.h"

namespace kevent {

class Registry {
 public:
  // One thread's share in a queue; the last one to go destroys it. (std::shared_ptr would do, but its
  // counting needs a newer C library than Node does.)
  class Share {
   public:
    Share() = default;
    Share(const Share& other) : Share(Registry::Get()->Retain(other.id_)) {}
    Share(Share&& other) noexcept
        : id_(std::exchange(other.id_, 0)), queue_(std::exchange(other.queue_, nullptr)) {}
    Share& operator=(Share other) noexcept {
      std::swap(id_, other.id_);
      std::swap(queue_, other.queue_);
      return *this;
    }
    ~Share() {
      if (queue_ != nullptr) Registry::Get()->Release(id_);
    }

    uint32_t id() const { return id_; }
    Queue* get() const { return queue_; }
    Queue* operator->() const { return queue_; }
    explicit operator bool() const { return queue_ != nullptr; }

   private:
    friend class Registry;
    Share(uint32_t id, Queue* queue) : id_(id), queue_(queue) {}

    uint32_t id_ = 0;
    Queue* queue_ = nullptr;
  };

  // Never destroyed: threads may end after the process's statics.
  static Registry* Get() {
    static auto* registry = new Registry();
    return registry;
  }

  Share Add(std::unique_ptr<Queue> queue) {
    std::lock_guard<std::mutex> guard(mutex_);
    Entry& entry = queues_[++last_];
    entry.queue = std::move(queue);
    entry.shares = 1;
    return {last_, entry.queue.get()};
  }

  // Empty when no thread has such a queue any more.
  Share Retain(uint32_t id) {
    std::lock_guard<std::mutex> guard(mutex_);
    const auto found = queues_.find(id);
    if (found == queues_.end()) return {};
    found->second.shares++;
    return {id, found->second.queue.get()};
  }

  // The queue that a descriptor is; empty for any other file.
  Share FindDescriptor(int descriptor) {
    std::lock_guard<std::mutex> guard(mutex_);
    for (auto& [id, entry] : queues_) {
      if (entry.queue->descriptor() != descriptor) continue;
      entry.shares++;
      return {id, entry.queue.get()};
    }
    return {};
  }

 private:
  struct Entry {
    std::unique_ptr<Queue> queue;
    uint32_t shares = 0;
  };

  void Release(uint32_t id) {
    std::unique_ptr<Queue> last;  // destroyed after the lock is gone
    std::lock_guard<std::mutex> guard(mutex_);
    const auto found = queues_.find(id);
    if (--found->second.shares > 0) return;
    last = std::move(found->second.queue);
    queues_.erase(found);
  }

  std::mutex mutex_;
  uint32_t last_ = 0;                 // guarded by mutex_
  std::map<uint32_t, Entry> queues_;  // guarded by mutex_
};

}  // namespace kevent

#endif  // X_KEVENT_REGISTRY_H_
