#ifndef X_RESTORE_TEST_CHECK_H_
#define X_RESTORE_TEST_CHECK_H_

#include <cerrno>
#include <cstdio>
#include <cstdlib>

// Ends the test when `condition` does not hold, naming the place and what the last system call said.
#define CHECK(condition)                                                                \
  do {                                                                                  \
    if (!(condition)) {                                                                 \
      fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
      abort();                                                                          \
    }                                                                                   \
  } while (false)

#endif  // X_RESTORE_TEST_CHECK_H_
