// floor.h - what floor.c and floor-multishot.c have in common: sockets, just enough HTTP, the ring.
//
// A program that includes it sets PROGRAM, its name for messages, before.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// What a completion is about travels in the low bits of its owner's address; 0 is always this one.
enum { ACCEPT };
#define OPERATION_BITS 7ull

static struct io_uring ring;
static int upstream_port;

// ---- Sockets ------------------------------------------------------------------------------------

static void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_upstream(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(upstream_port);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror(PROGRAM ": connect");
        exit(1);
    }
    no_delay(fd);
    return fd;
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = loopback(port);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror(PROGRAM ": listen");
        exit(1);
    }
    return listener;
}

// ---- Just enough HTTP ---------------------------------------------------------------------------

// `bytes` has a zero behind it.
static int request_is_whole(const char *bytes, int length) {
    char *end = memmem(bytes, (size_t)length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    char *field = strcasestr(bytes, "\r\ncontent-length:");
    long body = field && field < end ? atol(field + 17) : 0;
    return length >= end + 4 - bytes + body;
}

// How far an answer has come.
typedef struct {
    int head_to_come, chunked, done;
    long left;    // bytes with Content-Length
    char tail[5]; // last bytes of a chunked one
} Answer;

// Takes note of `length` bytes of the answer, and of its end. `bytes` has a zero behind it.
static void follow_answer(Answer *a, const char *bytes, long length) {
    if (a->head_to_come) {
        a->head_to_come = a->done = 0;
        char *end = memmem(bytes, (size_t)length, "\r\n\r\n", 4);
        char *field = strcasestr(bytes, "\r\ncontent-length:");
        a->chunked = !(end && field && field < end);
        if (!a->chunked) {
            a->left = atol(field + 17);
            length -= end + 4 - bytes;
        }
    }
    if (!a->chunked) {
        a->left -= length;
        a->done = a->left <= 0;
        return;
    }
    if (length >= 5) {
        memcpy(a->tail, bytes + length - 5, 5);
    } else {
        memmove(a->tail, a->tail + length, (size_t)(5 - length));
        memcpy(a->tail + 5 - length, bytes, (size_t)length);
    }
    a->done = !memcmp(a->tail, "0\r\n\r\n", 5);
}

// ---- The ring -----------------------------------------------------------------------------------

static void set_up_ring(void) {
    struct io_uring_params setup = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                             IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                    .cq_entries = 16384};
    int failed = io_uring_queue_init_params(4096, &ring, &setup);
    if (failed < 0) {
        fprintf(stderr, PROGRAM ": io_uring: %s\n", strerror(-failed));
        exit(1);
    }
    io_uring_register_ring_fd(&ring);
}

static struct io_uring_sqe *entry(void) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

// To be called behind io_uring_prep_*, which older versions of liburing let clear the user data.
static void label(struct io_uring_sqe *sqe, void *owner, int operation) {
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)owner | (uint64_t)operation);
}

static void accept_many(int listener) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    label(sqe, NULL, ACCEPT);
}

// Reads the arguments and listens; the listener.
static int begin(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: " PROGRAM " LISTEN_PORT UPSTREAM_PORT\n");
        exit(2);
    }
    signal(SIGPIPE, SIG_IGN);
    upstream_port = atoi(argv[2]);
    return listen_on(atoi(argv[1]));
}
