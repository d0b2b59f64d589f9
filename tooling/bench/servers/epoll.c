// The least that an HTTP/1.1 server can do, as the floor that the others are compared with: one thread, one
// edge- triggered epoll, no system call but accept4, epoll_ctl once a connection, epoll_wait, read, write or
// writev, and close. GET / and /last answer 13 bytes and GET /N answers N bytes, at most 1 MiB. The head is
// parsed strictly and may come in any pieces; pipelined requests are answered with one write. It has neither
// timeouts nor request bodies. Arguments: PORT.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, BATCH = 16, READ_SIZE = 64 * 1024, HEAD_LIMIT = 16 * 1024, RESPONSE_HEAD = 256 };
enum { BODY_LIMIT = 1024 * 1024 };

// Answers that one write sends: a head and a body each.
struct output {
  int used, sent;  // iovecs
  int heads;
  struct iovec parts[2 * BATCH];
  char head[BATCH][RESPONSE_HEAD];
};

struct connection {
  int fd;
  bool closing;          // when all is sent
  bool ended;            // the client sends no more
  size_t size, scanned;  // of what came of an unfinished head, and of what has been looked at for its end
  char* input;
  struct output* output;  // what the socket would not take, or NULL
};

struct request {
  size_t body;  // bytes asked for
  int status;
  bool keep_alive;
};

static int queue;
static char input[READ_SIZE];
static struct output* output;  // of the connection that is served now
static char body[BODY_LIMIT];
static const char hello[] = "Hello, World!";
static char date[64];

static void die(const char* what) {
  perror(what);
  exit(1);
}

// Of all heads that are made within a second.
static void set_date(void) {
  static time_t last;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec == last) return;
  last = now.tv_sec;
  struct tm parts;
  strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&last, &parts));
}

static struct output* new_output(void) {
  struct output* made = malloc(sizeof *made);
  if (made == NULL) die("malloc");
  made->used = made->sent = made->heads = 0;
  return made;
}

static bool is_token(char c) {
  return isalnum((unsigned char)c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

// The size that a target asks for: "/" and "/last" are 0, or "/N".
static bool target_size(const char* at, const char* end, size_t* size) {
  if (at == end || *at++ != '/') return false;
  *size = 0;
  if (at == end || (end - at == 4 && memcmp(at, "last", 4) == 0)) return true;
  for (; at < end; at++) {
    if (*at < '0' || *at > '9') return false;
    *size = *size * 10 + (size_t)(*at - '0');
    if (*size > BODY_LIMIT) return false;
  }
  return *size > 0;
}

// GET SP target SP HTTP/1.x
static int request_line(const char* at, const char* end, struct request* request) {
  const char* first = memchr(at, ' ', (size_t)(end - at));
  if (first == NULL) return 400;
  const char *target = first + 1, *second = memchr(target, ' ', (size_t)(end - target));
  if (second == NULL || end - second != 9 || memcmp(second + 1, "HTTP/1.", 7) != 0) return 400;
  if (end[-1] != '0' && end[-1] != '1') return 400;
  request->keep_alive = end[-1] == '1';
  if (first - at != 3 || memcmp(at, "GET", 3) != 0) return 501;
  return target_size(target, second, &request->body) ? 200 : 404;
}

static bool is(const char* at, size_t length, const char* name) {
  return length == strlen(name) && strncasecmp(at, name, length) == 0;
}

// Whether one of a list's members is "close".
static bool closes(const char* at, const char* end) {
  while (at < end) {
    const char *comma = memchr(at, ',', (size_t)(end - at)), *last = comma == NULL ? end : comma;
    const char* next = last + 1;
    while (at < last && (*at == ' ' || *at == '\t')) at++;
    while (last > at && (last[-1] == ' ' || last[-1] == '\t')) last--;
    if (is(at, (size_t)(last - at), "close")) return true;
    at = next;
  }
  return false;
}

// name ":" OWS value; says by `hosts` how many Host fields there were.
static int field(const char* at, const char* end, struct request* request, int* hosts) {
  const char* colon = at;
  while (colon < end && is_token(*colon)) colon++;
  if (colon == at || colon == end || *colon != ':') return 400;
  const char* value = colon + 1;
  for (const char* c = value; c < end; c++)
    if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f) return 400;
  size_t length = (size_t)(colon - at);
  if (is(at, length, "host")) (*hosts)++;
  if (is(at, length, "connection") && closes(value, end)) request->keep_alive = false;
  if (is(at, length, "content-length") || is(at, length, "transfer-encoding")) return 501;
  return 200;
}

// A head with its empty line. What is wrong with it makes it the connection's last.
static struct request parse(const char* at, const char* end) {
  struct request request = {0};
  int hosts = 0;
  for (bool first = true;; first = false) {
    const char* line = memchr(at, '\n', (size_t)(end - at));
    if (line == at || line[-1] != '\r') return (struct request){.status = 400};
    if (line - at == 1) break;
    int status = first ? request_line(at, line - 1, &request) : field(at, line - 1, &request, &hosts);
    if (first || status != 200) request.status = status;
    if (status != 200 && status != 404) return (struct request){.status = status};
    at = line + 1;
  }
  if (request.status == 0 || hosts != 1) return (struct request){.status = 400};
  return request;
}

static char* put(char* at, const char* text, size_t length) {
  return (char*)mempcpy(at, text, length);
}

static char* put_number(char* at, size_t number) {
  char digits[20], *first = digits + sizeof digits;
  do *--first = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  return put(at, first, (size_t)(digits + sizeof digits - first));
}

static const char* status_line(int status) {
  switch (status) {
    case 200:
      return "HTTP/1.1 200 OK";
    case 400:
      return "HTTP/1.1 400 Bad Request";
    case 404:
      return "HTTP/1.1 404 Not Found";
    case 431:
      return "HTTP/1.1 431 Request Header Fields Too Large";
    default:
      return "HTTP/1.1 501 Not Implemented";
  }
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

// The 13 bytes go where the head is, larger bodies are sent from where they are.
static void answer(struct connection* connection, struct request request) {
  bool greeting = request.status == 200 && request.body == 0;
  char *head = output->head[output->heads++], *at = head;
  const char* line = status_line(request.status);
  at = put(at, line, strlen(line));
  at = PUT(at, "\r\ncontent-type: text/plain\r\ncontent-length: ");
  at = put_number(at, greeting ? sizeof hello - 1 : request.status == 200 ? request.body : 0);
  at = put(PUT(at, "\r\ndate: "), date, strlen(date));
  at = request.keep_alive ? PUT(at, "\r\n\r\n") : PUT(at, "\r\nconnection: close\r\n\r\n");
  if (greeting) at = put(at, hello, sizeof hello - 1);
  output->parts[output->used++] = (struct iovec){head, (size_t)(at - head)};
  if (request.status == 200 && !greeting) output->parts[output->used++] = (struct iovec){body, request.body};
  if (!request.keep_alive) connection->closing = true;
}

// A socket is writable at first, so waiting for that from the start would be an event for nothing.
static void watch(struct connection* connection, int operation, uint32_t more) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | more, .data.ptr = connection};
  if (epoll_ctl(queue, operation, connection->fd, &event) != 0) die("epoll_ctl");
}

static void close_connection(struct connection* connection) {
  close(connection->fd);  // which takes it out of the queue too
  free(connection->input);
  free(connection->output);
  free(connection);
}

// Sends what is there. 1: all; 0: the rest waits for the socket; -1: the connection is gone.
static int flush(int fd, struct output* from) {
  while (from->sent < from->used) {
    struct iovec* first = &from->parts[from->sent];
    int parts = from->used - from->sent;
    ssize_t count = parts == 1 ? write(fd, first->iov_base, first->iov_len) : writev(fd, first, parts);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN ? 0 : -1;
    while (from->sent < from->used && (size_t)count >= from->parts[from->sent].iov_len)
      count -= (ssize_t)from->parts[from->sent++].iov_len;
    if (from->sent == from->used) break;
    struct iovec* part = &from->parts[from->sent];
    part->iov_base = (char*)part->iov_base + count;
    part->iov_len -= (size_t)count;
  }
  from->used = from->sent = from->heads = 0;
  return 1;
}

// Answers the whole requests in `size` bytes, a batch at most. Returns how many bytes they had.
static size_t serve(struct connection* connection, const char* bytes, size_t size, size_t* scanned) {
  size_t taken = 0;
  while (output->heads < BATCH && !connection->closing) {
    // The end may have begun in what was looked at before.
    size_t from = taken + (*scanned > 3 ? *scanned - 3 : 0);
    const char* end = memmem(bytes + from, size - from, "\r\n\r\n", 4);
    size_t length = end == NULL ? size - taken : (size_t)(end - bytes) + 4 - taken;
    if (length > HEAD_LIMIT)
      answer(connection, (struct request){.status = 431});
    else if (end != NULL)
      answer(connection, parse(bytes + taken, end + 4));
    *scanned = end == NULL ? length : 0;
    if (end == NULL) break;
    taken += length;
  }
  return taken;
}

static void keep(struct connection* connection, const char* bytes, size_t size) {
  char* kept = NULL;
  if (size > 0) {
    if ((kept = malloc(size)) == NULL) die("malloc");
    memcpy(kept, bytes, size);
  }
  free(connection->input);
  connection->input = kept;
  connection->size = size;
}

// Answers all that was read, until the socket takes no more. False: the connection is gone.
static bool serve_all(struct connection* connection, const char* bytes, size_t size) {
  size_t scanned = connection->scanned, taken = 0;
  for (;;) {
    size_t now = serve(connection, bytes + taken, size - taken, &scanned);
    taken += now;
    if (output->used == 0) break;
    int sent = flush(connection->fd, output);
    if (sent < 0 || (sent > 0 && connection->closing)) return close_connection(connection), false;
    if (sent > 0) continue;
    connection->output = output;
    output = new_output();
    watch(connection, EPOLL_CTL_MOD, EPOLLOUT);
    break;
  }
  connection->scanned = scanned;
  if (size > taken || connection->input != NULL) keep(connection, bytes + taken, size - taken);
  return true;
}

// Reads until nothing is left. A read that fills less than it could has emptied the socket, and what comes
// after it is a new event; the end of the stream that was announced before is not, so that has to be read.
static void receive(struct connection* connection) {
  for (;;) {
    size_t held = connection->size;
    if (held > 0) memcpy(input, connection->input, held);
    ssize_t count = read(connection->fd, input + held, READ_SIZE - held);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return close_connection(connection);
    bool more = (size_t)count == READ_SIZE - held || connection->ended;
    if (!serve_all(connection, input, held + (size_t)count) || connection->output != NULL || !more) return;
  }
}

// The rest of an answer first, then what was read behind it, then what has come since.
static void resume(struct connection* connection) {
  int sent = flush(connection->fd, connection->output);
  if (sent == 0) return;
  if (sent < 0 || connection->closing) return close_connection(connection);
  free(connection->output);
  connection->output = NULL;
  size_t held = connection->size;
  if (held > 0) memcpy(input, connection->input, held);
  if (held > 0 && !serve_all(connection, input, held)) return;
  if (connection->output == NULL) receive(connection);
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return;
      die("accept4");
    }
    struct connection* connection = calloc(1, sizeof *connection);
    if (connection == NULL) die("calloc");
    connection->fd = fd;
    watch(connection, EPOLL_CTL_ADD, 0);
  }
}

static int listen_at(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));  // inherited by what it accepts
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0) die("bind");
  if (listen(listener, 1024) != 0) die("listen");
  return listener;
}

int main(int count, char** arguments) {
  int port = count == 2 ? atoi(arguments[1]) : 0;
  if (port < 1 || port > 65535) return fprintf(stderr, "usage: epoll PORT\n"), 2;
  signal(SIGPIPE, SIG_IGN);
  memset(body, 'x', sizeof body);
  output = new_output();
  queue = epoll_create1(EPOLL_CLOEXEC);
  int listener = listen_at(port);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
  if (epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event) != 0) die("epoll_ctl");
  for (;;) {
    int ready = epoll_wait(queue, events, EVENTS, -1);
    if (ready < 0 && errno != EINTR) die("epoll_wait");
    set_date();
    for (int i = 0; i < ready; i++) {
      struct connection* connection = events[i].data.ptr;
      if (connection == NULL) {
        accept_all(listener);
        continue;
      }
      if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) connection->ended = true;
      if (connection->output != NULL)
        resume(connection);
      else
        receive(connection);
    }
  }
}
