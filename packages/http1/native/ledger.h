#pragma once

#include <cstddef>
#include <cstdint>

namespace http1 {

// What another process has to know of connections that it gave away, should this one die soon: a word for
// each, in a memory file that both have open. This process writes it as it serves; the other one reads it
// when this one is dead.

// Makes the file and binds these connections to its words, in this order. The descriptor, the caller's; or
// -errno.
int OpenLedger(const int32_t* connections, size_t count);

// Binds one more to the next word. False when there is no ledger, no word left, or no such connection, whose
// word is left out then.
bool JoinLedger(int connection);

// The other process has let go: the words tell nobody anything from now on.
void CloseLedger();

// Takes back yielded connections from a process that is dead, by the words of its ledger in the order in
// which they were given away. One that it has not touched keeps its state, one that waits for its next
// request begins one anew and has `idle` milliseconds; both stay yielded, and are written to the front of
// `connections`. The others are closed: only the dead one knew how far it had got. Returns how many were
// kept; -EBADF or -EINVAL, and nothing has changed, for what is no ledger of so many.
int TakeBack(int ledger, int32_t* connections, size_t count, int64_t idle);

}  // namespace http1
