// One thread's use of a queue of its own.
#ifndef X_KEVENT_TEST_WATCHER_H_
#define X_KEVENT_TEST_WATCHER_H_

#include <memory>

#include "check.h"
#include "queue.h"

namespace kevent::test {

struct Watcher {
  Watcher() {
    int error = 0;
    queue = Queue::Make(&error);
    CHECK(queue != nullptr && error == 0);
    consumer = queue->MakeConsumer();
  }

  // 0, or the negative errno of the change.
  int Change(KEvent change) const { return queue->Kevent(&change, 1, nullptr, 0, 0, consumer.get()); }

  int Take(KEvent* event, int64_t timeout) const {
    return queue->Kevent(nullptr, 0, event, 1, timeout, consumer.get());
  }

  std::unique_ptr<Queue> queue;
  std::unique_ptr<Consumer> consumer;
};

}  // namespace kevent::test

#endif  // X_KEVENT_TEST_WATCHER_H_
