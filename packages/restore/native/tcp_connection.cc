#include "tcp_connection.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "kernel_numbers.h"

namespace restore {
namespace {

constexpr int kMostAttempts = 16;
constexpr int kNoQueue = 0;  // TCP_NO_QUEUE

// States in which this side's FIN stands in its send queue, as TCP_INFO numbers them.
enum State : uint8_t { kFinWait1 = 4, kFinWait2 = 5, kClose = 7, kLastAck = 9, kClosing = 11 };

bool SentFin(uint32_t state) {
  return state == kFinWait1 || state == kFinWait2 || state == kLastAck || state == kClosing;
}

template <typename T>
int Get(int socket, int level, int option, T& value) {
  socklen_t size = sizeof value;
  return getsockopt(socket, level, option, &value, &size) == 0 ? 0 : -errno;
}

int Set(int socket, int level, int option, int value) {
  return setsockopt(socket, level, option, &value, sizeof value) == 0 ? 0 : -errno;
}

// Repair mode forces SO_REUSEADDR, and its end clears it: what it was is put back.
class RepairMode {
 public:
  explicit RepairMode(int socket) : socket_(socket) {
    error_ = Get(socket_, SOL_SOCKET, SO_REUSEADDR, reuse_);
    if (error_ == 0) error_ = Set(socket_, IPPROTO_TCP, TCP_REPAIR, kRepairOn);
  }
  RepairMode(const RepairMode&) = delete;
  RepairMode& operator=(const RepairMode&) = delete;
  ~RepairMode() {
    if (error_ != 0) return;
    // Not TCP_REPAIR_OFF, which sends a probe.
    Set(socket_, IPPROTO_TCP, TCP_REPAIR, kRepairOffNoProbe);
    Set(socket_, SOL_SOCKET, SO_REUSEADDR, reuse_ != 0 ? 1 : 0);
  }

  int error() const { return error_; }

  int Select(int queue) const { return Set(socket_, IPPROTO_TCP, TCP_REPAIR_QUEUE, queue); }

 private:
  int socket_;
  int reuse_ = 0;
  int error_ = 0;
};

// What moves when a segment comes.
struct Marks {
  uint32_t state;
  uint32_t receive_sequence;
  uint32_t send_sequence;
  int receive_length;
  int send_length;
  int unsent;

  bool operator==(const Marks&) const = default;
};

int ReadMarks(int socket, const RepairMode& repair, Marks& marks) {
  tcp_info info{};
  int error = Get(socket, IPPROTO_TCP, TCP_INFO, info);
  if (error == 0) error = repair.Select(kReceiveQueue);
  if (error == 0) error = Get(socket, IPPROTO_TCP, TCP_QUEUE_SEQ, marks.receive_sequence);
  // While the send queue is selected what ought to be sent is only marked as sent: as short as can be.
  if (error == 0) error = repair.Select(kSendQueue);
  if (error == 0) error = Get(socket, IPPROTO_TCP, TCP_QUEUE_SEQ, marks.send_sequence);
  const int back = repair.Select(kNoQueue);
  if (error == 0) error = back;
  if (error != 0) return error;
  if (ioctl(socket, FIONREAD, &marks.receive_length) != 0 ||
      ioctl(socket, TIOCOUTQ, &marks.send_length) != 0 || ioctl(socket, kSiocOutqNsd, &marks.unsent) != 0) {
    return -errno;
  }
  marks.state = info.tcpi_state;
  return 0;
}

// EAGAIN when there is less in the queue.
int ReadQueue(int socket, const RepairMode& repair, int queue, int length, std::vector<char>& bytes) {
  bytes.resize(static_cast<size_t>(length));
  if (length == 0) return 0;
  int error = repair.Select(queue);
  if (error != 0) return error;
  const ssize_t got = recv(socket, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  error = got < 0 ? -errno : 0;
  const int back = repair.Select(kNoQueue);
  if (error == 0) error = back;
  return error == 0 && got != length ? -EAGAIN : error;
}

void CountFin(Marks& marks) {
  if (marks.state == kClose) marks.send_length = marks.unsent = 0;
  if (!SentFin(marks.state)) return;
  if (marks.send_length > 0) --marks.send_length;
  if (marks.unsent > 0) --marks.unsent;
}

int ReadOptions(int socket, TcpConnection& connection) {
  tcp_info info{};
  int error = Get(socket, IPPROTO_TCP, TCP_INFO, info);
  if (error != 0) return error;
  connection.options = info.tcpi_options;
  connection.send_scale = info.tcpi_snd_wscale;
  connection.receive_scale = info.tcpi_rcv_wscale;
  error = Get(socket, IPPROTO_TCP, TCP_MAXSEG, connection.segment);
  if (error == 0) error = Get(socket, IPPROTO_TCP, TCP_TIMESTAMP, connection.timestamp);
  if (error == 0) error = Get(socket, IPPROTO_TCP, TCP_REPAIR_WINDOW, connection.window);
  return error;
}

int ReadOnce(int socket, const RepairMode& repair, TcpConnection& connection, TcpQueues& queues) {
  Marks marks{};
  Marks after{};
  int error = ReadMarks(socket, repair, marks);
  if (error == 0) error = ReadOptions(socket, connection);
  Marks counted = marks;
  CountFin(counted);
  if (error == 0) error = ReadQueue(socket, repair, kReceiveQueue, counted.receive_length, queues.receive);
  if (error == 0) error = ReadQueue(socket, repair, kSendQueue, counted.send_length, queues.send);
  if (error == 0) error = ReadMarks(socket, repair, after);
  if (error != 0) return error;
  if (!(after == marks)) return -EAGAIN;
  connection.state = marks.state;
  connection.receive_sequence = marks.receive_sequence;
  connection.send_sequence = marks.send_sequence;
  connection.unsent = static_cast<uint32_t>(counted.unsent);
  return 0;
}

}  // namespace

int ReadTcpConnection(int socket, TcpConnection& connection, TcpQueues& queues) {
  const RepairMode repair(socket);
  if (repair.error() != 0) return repair.error();
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    const int error = ReadOnce(socket, repair, connection, queues);
    if (error != -EAGAIN) return error;
  }
  return -EAGAIN;
}

}  // namespace restore
