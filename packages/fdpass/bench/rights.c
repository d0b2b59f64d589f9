// One way, from this process to a child that receives and closes: rights TYPE K MESSAGES. Prints what it took, as JSON.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 253 };

static char control[CMSG_SPACE(sizeof(int) * MOST)];

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1e6 + at.tv_nsec / 1e3;
}

static double cpu(int who) {
  struct rusage usage;
  getrusage(who, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static void send_all(int socket, int k, long messages) {
  int descriptors[MOST];
  for (int i = 0; i < k; i++) {
    descriptors[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (descriptors[i] < 0) fail("open");
  }
  for (long n = 0; n < messages; n++) {
    char byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
    header.msg_controllen = CMSG_SPACE(sizeof(int) * k);
    struct cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * k);
    memcpy(CMSG_DATA(rights), descriptors, sizeof(int) * k);
    if (sendmsg(socket, &header, MSG_NOSIGNAL) != 1) fail("sendmsg");
  }
}

static void close_all(const int* descriptors, int count) {
  for (int i = 0; i < count;) {
    int end = i + 1;
    while (end < count && descriptors[end] == descriptors[end - 1] + 1) end++;
    if (end - i == 1) close(descriptors[i]);
    else if (syscall(SYS_close_range, descriptors[i], descriptors[end - 1], 0) != 0) fail("close_range");
    i = end;
  }
}

static long receive_all(int socket) {
  long total = 0;
  for (;;) {
    char byte;
    int descriptors[MOST];
    struct iovec part = {&byte, 1};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    if (got == 0) return total;
    if (got < 0 || (header.msg_flags & MSG_CTRUNC)) fail("recvmsg");
    struct cmsghdr* rights = CMSG_FIRSTHDR(&header);
    int count = rights == NULL ? 0 : (int)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    if (count > 0) memcpy(descriptors, CMSG_DATA(rights), sizeof(int) * count);
    close_all(descriptors, count);
    total += count;
  }
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: rights stream|seqpacket K MESSAGES\n");
    return 2;
  }
  int type = strcmp(argv[1], "stream") == 0 ? SOCK_STREAM : SOCK_SEQPACKET;
  int k = atoi(argv[2]);
  long messages = atol(argv[3]);
  int ends[2];
  if (k < 1 || k > MOST || socketpair(AF_UNIX, type, 0, ends) != 0) fail("socketpair");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    close(ends[0]);
    char ready = 'r';
    if (write(ends[1], &ready, 1) != 1) fail("write");
    return receive_all(ends[1]) == messages * k ? 0 : 1;
  }
  close(ends[1]);
  char ready;
  if (read(ends[0], &ready, 1) != 1) fail("read");
  double begun = now();
  send_all(ends[0], k, messages);
  close(ends[0]);
  int status;
  if (waitpid(child, &status, 0) != child || status != 0) fail("child");
  printf("{\"wall\":%.0f,\"cpu\":%.0f}\n", now() - begun, cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN));
  return 0;
}
