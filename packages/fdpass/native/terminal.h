// The terminal that a descriptor is one of.
#ifndef X_FDPASS_TERMINAL_H_
#define X_FDPASS_TERMINAL_H_

namespace fdpass {

struct Terminal {
  // Of the terminal itself, whatever name it was opened by: /dev/tty is another one in each session.
  unsigned device = 0;
  // The master's end of a pseudo-terminal. To open it again would make a new pair.
  bool master = false;
};

// Returns 0 or a negative errno: ENOTTY when it is none, EIO when it was hung up.
int TerminalOf(int descriptor, Terminal& terminal);

}  // namespace fdpass

#endif  // X_FDPASS_TERMINAL_H_
