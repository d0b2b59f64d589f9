// What the threads of a process name by numbers. A number that has gone is not given again until all others
// were.
#ifndef X_DOORS_REGISTRY_H_
#define X_DOORS_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "counted.h"

namespace doors {

template <typename T>
class Registry {
 public:
  // `make` gets the number.
  template <typename Make>
  Shared<T> Add(Make make) {
    const std::lock_guard<std::mutex> lock(mutex_);
    do {
      last_ = last_ == kMost ? 1 : last_ + 1;
    } while (all_.count(last_) != 0);
    Shared<T> made(make(last_));
    all_.emplace(last_, made);
    return made;
  }

  // Empty when there is none.
  Shared<T> Find(uint32_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = all_.find(number);
    return found == all_.end() ? Shared<T>() : found->second;
  }

  // The same, and it is not there any more.
  Shared<T> Remove(uint32_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = all_.find(number);
    if (found == all_.end()) return {};
    Shared<T> removed = std::move(found->second);
    all_.erase(found);
    return removed;
  }

  std::vector<Shared<T>> All() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Shared<T>> all;
    all.reserve(all_.size());
    for (const auto& [number, it] : all_) all.push_back(it);
    return all;
  }

 private:
  static constexpr uint32_t kMost = 0x7fffffff;  // an int of any language

  std::mutex mutex_;
  uint32_t last_ = 0;                  // guarded by mutex_
  std::map<uint32_t, Shared<T>> all_;  // guarded by mutex_
};

}  // namespace doors

#endif  // X_DOORS_REGISTRY_H_
