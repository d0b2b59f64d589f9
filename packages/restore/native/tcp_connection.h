// The state of a TCP connection, read in repair mode (TCP_REPAIR); the connection goes on as if nothing had
// been.
#ifndef X_RESTORE_TCP_CONNECTION_H_
#define X_RESTORE_TCP_CONNECTION_H_

#include <cstdint>
#include <vector>

namespace restore {

// Sequence numbers are those behind the queues' ends, a FIN counted where there is one.
struct TcpConnection {
  uint32_t state;
  uint32_t receive_sequence;
  uint32_t send_sequence;
  uint32_t unsent;   // bytes at the end of the send queue that have not been sent
  uint32_t options;  // TCPI_OPT_*
  uint32_t send_scale;
  uint32_t receive_scale;
  uint32_t segment;  // the clamp of the segment's size
  uint32_t timestamp;
  uint32_t window[5];  // tcp_repair_window: snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup
};

struct TcpQueues {
  std::vector<char> receive;
  std::vector<char> send;
};

// `socket` is neither listening nor unconnected. 0, or a negative errno: EPERM without CAP_NET_ADMIN, EAGAIN
// when the other side does not cease to change it.
int ReadTcpConnection(int socket, TcpConnection& connection, TcpQueues& queues);

}  // namespace restore

#endif  // X_RESTORE_TCP_CONNECTION_H_
