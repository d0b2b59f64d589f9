// What lies in the receive queue of a Unix socket, without taking it out.
#ifndef X_RESTORE_SOCKET_QUEUE_H_
#define X_RESTORE_SOCKET_QUEUE_H_

#include <string>
#include <vector>

#include "unique_fd.h"

namespace restore {

// A datagram or packet; of a stream the bytes up to the end of those that came with rights, or up to the
// last.
struct QueuedMessage {
  std::vector<char> bytes;
  std::vector<UniqueFd> rights;
  std::string sender;  // the name as bind(2) had it, without the family; empty for none
};

// 0, or a negative errno: EMFILE when there is no room for the rights, ECONNRESET when the socket has an
// error that reading would take. The socket's SO_PEEK_OFF is as it was.
int ReadSocketQueue(int socket, int type, std::vector<QueuedMessage>& messages);

}  // namespace restore

#endif  // X_RESTORE_SOCKET_QUEUE_H_
