// Counts the signals that come to this process, beside whoever handles them.
//
// kqueue counts signals that the process is sent; Linux has no such place to look. So a signal that is
// watched gets a handler of ours, which counts and then does what the disposition before it would have done:
// calls that handler, ignores it, or takes the default action. Nobody else's handler is changed. libuv, for
// its part, does replace ours when it starts or stops to handle a signal: Restore finds that out, and goes
// before it again.
#ifndef X_KEVENT_SIGNAL_WATCH_H_
#define X_KEVENT_SIGNAL_WATCH_H_

#include <cstdint>

namespace kevent::signal_watch {

// Signals are 1 to 64.
constexpr int kLast = 64;

// One more knote counts `signal`. Returns 0 or an errno: EINVAL when it cannot be caught.
int Add(int signal);
// One less. With the last one the disposition is as it was, if it still is ours.
void Remove(int signal);
// Ours is the first handler again, if it is not. Cheap enough to ask before each wait: one system call.
void Restore(int signal);

// How often the signal came since it was first watched: a signal that was blocked and is pending counts as
// come. The count only grows.
uint64_t Count(int signal);

// Becomes readable with each count: an eventfd of the process's, there for good once a signal was watched,
// since a handler may write to it at any time. -1 and an errno when it cannot be made.
int Descriptor();

}  // namespace kevent::signal_watch

#endif  // X_KEVENT_SIGNAL_WATCH_H_
