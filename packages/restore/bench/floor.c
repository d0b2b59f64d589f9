// The least that any restore of a tree has to do: whoever forks the processes opens what they share, once, each process
// opens what is its own, gives everything its number and closes the rest. Nothing is read, looked for or verified.
// floor KIND PROCESSES OWN SHARED FOLDER ROUNDS prints ms of wall time and of CPU of each round, as JSON.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FIRST = 10, NAMES = 200, BEFORE = 3 };

static double now(clockid_t clock) {
  struct timespec at;
  clock_gettime(clock, &at);
  return at.tv_sec * 1e3 + at.tv_nsec / 1e6;
}

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static void need(int result, const char* what) {
  if (result < 0) fail(what);
}

static void open_files(int count, const char* folder) {
  char name[4096];
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%s/f%d", folder, i % NAMES);
    int fd = open(name, O_RDWR);
    need(fd, "open");
    if (i > 0 && lseek(fd, i, SEEK_SET) != i) fail("lseek");
  }
}

static void open_own(const char* kind, int count, const char* folder) {
  if (strcmp(kind, "files") == 0) open_files(count, folder);
  int ends[2];
  for (int i = 0; i < count; i++) {
    if (strcmp(kind, "null") == 0) need(open("/dev/null", O_RDWR), "open");
    if (strcmp(kind, "pipes") == 0 && i % 2 == 0) need(pipe(ends), "pipe");
    if (strcmp(kind, "sockets") == 0 && i % 2 == 0) need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
    if (strcmp(kind, "epoll") == 0) need(i == 0 ? epoll_create1(0) : eventfd(0, 0), "epoll_create1, eventfd");
  }
}

// From above, so that none is overwritten that is needed yet.
static void place(int count) {
  for (int i = count - 1; i >= 0; i--) need(dup2(BEFORE + i, FIRST + i), "dup2");
  need(syscall(SYS_close_range, BEFORE, FIRST - 1, 0), "close_range");
}

static void watch(int count) {
  for (int i = 1; i < count; i++) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLET, .data.u64 = FIRST + i};
    need(epoll_ctl(FIRST, EPOLL_CTL_ADD, FIRST + i, &event), "epoll_ctl");
  }
}

struct tree {
  const char* kind;
  int processes;
  int own;
  int shared;
  const char* folder;
};

// What it has used, to who measures.
static void tell(int ready) {
  double used = now(CLOCK_PROCESS_CPUTIME_ID);
  if (write(ready, &used, sizeof used) != sizeof used) fail("write");
}

static void be_task(const struct tree* tree, int ready) {
  open_own(tree->kind, tree->own, tree->folder);
  place(tree->own + tree->shared);
  if (strcmp(tree->kind, "epoll") == 0) watch(tree->own);
  tell(ready);
  need(syscall(SYS_close_range, FIRST + tree->own + tree->shared, ~0U, 0), "close_range");
  for (;;) pause();
}

static void be_zygote(const struct tree* tree, int ready) {
  need(setpgid(0, 0), "setpgid");
  open_files(tree->shared, tree->folder);
  for (int i = 0; i < tree->processes; i++) {
    pid_t task = fork();
    need(task, "fork");
    if (task == 0) be_task(tree, ready);
  }
  tell(ready);
  for (;;) pause();
}

static void measure(const struct tree* tree, const char* separator) {
  int ends[2];
  need(pipe(ends), "pipe");
  // Where no number is wanted.
  int above = FIRST + tree->own + tree->shared;
  int from = fcntl(ends[0], F_DUPFD, above);
  int ready = fcntl(ends[1], F_DUPFD, above);
  need(from, "fcntl");
  need(ready, "fcntl");
  close(ends[0]);
  close(ends[1]);
  double begun = now(CLOCK_MONOTONIC);
  pid_t zygote = fork();
  need(zygote, "fork");
  if (zygote == 0) be_zygote(tree, ready);
  double cpu = 0;
  for (int told = 0; told <= tree->processes; told++) {
    double used;
    if (read(from, &used, sizeof used) != sizeof used) fail("read");
    cpu += used;
  }
  printf("%s{\"wall\":%.4f,\"cpu\":%.4f}", separator, now(CLOCK_MONOTONIC) - begun, cpu);
  fflush(stdout);
  need(kill(-zygote, SIGKILL), "kill");
  while (wait(NULL) > 0) continue;
  close(from);
  close(ready);
}

int main(int argc, char** argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: floor files|null|pipes|sockets|epoll PROCESSES OWN SHARED FOLDER ROUNDS\n");
    return 2;
  }
  struct tree tree = {argv[1], atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), argv[5]};
  need(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl");
  need(syscall(SYS_close_range, BEFORE, ~0U, 0), "close_range");
  for (int round = 0; round < atoi(argv[6]); round++) measure(&tree, round == 0 ? "[" : ",");
  printf("]\n");
  return 0;
}
