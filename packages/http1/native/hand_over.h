#pragma once

#include <cstddef>
#include <cstdint>

namespace http1 {

// Connections that leave this process with what was read of them. A thread that has the event of one yields
// it (Engine::Yield); from then on any one thread may use these.

// While set, no request that waits behind another is begun, and no response is held back for one.
void SetHandingOver(bool on);
bool HandingOver();

// Writes the descriptors of yielded connections, and returns their number.
uint32_t Yielded(int32_t* out, size_t capacity);

// Bytes of the state of a yielded connection; 0 when it is none.
size_t StateSize(int fd);
// Writes the state: the head of kStateHead bytes, and what was read and not parsed. Returns its size.
size_t ExportState(int fd, char* out, size_t size);
inline constexpr size_t kStateHead = 48;

// Makes a descriptor that came from another process a yielded connection, by its state there. 0; -EINVAL for
// a state that cannot be, -EEXIST for a number that is a connection, -EMFILE beyond the table, -ENOMEM.
int Adopt(int fd, const char* state, size_t size);

// Back into service, before it is put into a queue. Positive: what was read of it is to be parsed without
// waiting for more. -EBADF when it is not yielded.
int Reinstate(int fd);

// Takes back a yielded connection by the word of a ledger (ledger.h), with the time until which it may wait.
// False: it is to be released.
bool Resume(int fd, uint64_t word, int64_t until);

// Forgets and closes a yielded connection, which lives on elsewhere. False when it is none.
bool Release(int fd);

}  // namespace http1
