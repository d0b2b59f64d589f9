// What lies in a pipe, without taking it out.
#ifndef X_RESTORE_PIPE_CONTENT_H_
#define X_RESTORE_PIPE_CONTENT_H_

#include <vector>

namespace restore {

struct PipeContent {
  std::vector<char> bytes;
  // Lengths of what one read(2) each takes; more than one where it was written in packet mode (O_DIRECT).
  std::vector<int> packets;
};

// `pipe` is open for reading. 0, or a negative errno: EPERM when the pipe is larger than this process may
// make one.
int ReadPipe(int pipe, PipeContent& content);

}  // namespace restore

#endif  // X_RESTORE_PIPE_CONTENT_H_
