// Wakes one thread that sleeps in epoll_wait(2), and no other.
//
// A descriptor cannot do that: the kernel wakes the thread that went to sleep last, which then has to hand
// the wake-up on and may get it back before the thread it is for has had a turn. A signal has an address.
// Threads have this one blocked, except in epoll_pwait(2), which unblocks it in the same step as it goes to
// sleep: sent earlier it stays pending, so that it cannot be missed.
#ifndef X_KEVENT_INTERRUPT_SIGNAL_H_
#define X_KEVENT_INTERRUPT_SIGNAL_H_

#include <sys/types.h>

#include <csignal>

namespace kevent::interrupt_signal {

// Blocks the signal in the calling thread, once; returns the thread's id.
pid_t Block();
// What epoll_pwait(2) in the calling thread is to block: what the thread does, without the signal.
const sigset_t* WaitMask();
// `thread` is alive: it has a wait under way, or will have.
void Send(pid_t thread);
// The signal has come to the calling thread since this was last asked.
bool Take();

}  // namespace kevent::interrupt_signal

#endif  // X_KEVENT_INTERRUPT_SIGNAL_H_
