// What lies in the input queue of a terminal. It can only be read out; it is put back as it was typed.
#ifndef X_RESTORE_TERMINAL_INPUT_H_
#define X_RESTORE_TERMINAL_INPUT_H_

#include <vector>

namespace restore {

// `master`: of a pty. 0, or a negative errno with the queue as it was: E2BIG when there is more than the line
// discipline holds (about 4 KiB), EPERM without CAP_SYS_ADMIN, which TIOCSTI needs.
int ReadTerminalInput(int terminal, bool master, std::vector<char>& bytes);

}  // namespace restore

#endif  // X_RESTORE_TERMINAL_INPUT_H_
