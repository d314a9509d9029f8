// floor.c - what any gateway on this kernel must pay at least: a bare two-hop HTTP/1.1 forwarder.
//
//   floor LISTEN_PORT UPSTREAM_PORT
//
// One thread, io_uring. Reads a request (Content-Length only), sends it unchanged on a pooled
// upstream connection, forwards every byte that comes back as it comes, and keeps both
// connections. It parses nothing but Content-Length and the last chunk, changes no field, and has
// no timeouts, metrics or TLS.
//
// Each hop is one linked pair: a send that copies out at submission and has no completion when it
// was whole, and the next receive behind it. So a message costs one io_uring_enter. A send that
// cannot finish at once fails and silences the receive behind it; the rest then goes the slow way.

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

// What a completion is about; it travels in the low bits of the pair's address.
enum { ACCEPT, FROM_CLIENT, TO_UPSTREAM, FROM_UPSTREAM, TO_CLIENT, REST_UPSTREAM, REST_CLIENT };
#define OPERATION_BITS 7ull

// A client and, while a request runs, its upstream.
typedef struct {
    int client, upstream; // upstream -1: none
    int in_flight, dead;
    int head_to_come, chunked, done; // of the answer
    long left;                       // bytes of an answer with Content-Length
    char tail[5];                    // last bytes of a chunked answer
    char *unsent;
    int unsent_length;
    int request_length;
    char request[16384], answer[32768];
} Pair;

static struct io_uring ring;
static int upstream_port, idle[65536], idle_count;

static void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int take_upstream(void) {
    if (idle_count)
        return idle[--idle_count];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(upstream_port);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("floor: connect");
        exit(1);
    }
    no_delay(fd);
    return fd;
}

// ---- Just enough HTTP ---------------------------------------------------------------------------

static int request_is_whole(Pair *p) {
    char *end = memmem(p->request, (size_t)p->request_length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    p->request[p->request_length] = 0;
    char *length = strcasestr(p->request, "\r\ncontent-length:");
    long body = length && length < end ? atol(length + 17) : 0;
    return p->request_length >= end + 4 - p->request + body;
}

// Takes note of `length` bytes of the answer, and of its end.
static void follow_answer(Pair *p, long length) {
    char *bytes = p->answer;
    if (p->head_to_come) {
        p->head_to_come = p->done = 0;
        bytes[length] = 0;
        char *end = memmem(bytes, (size_t)length, "\r\n\r\n", 4);
        char *field = strcasestr(bytes, "\r\ncontent-length:");
        p->chunked = !(end && field && field < end);
        if (!p->chunked) {
            p->left = atol(field + 17);
            length -= end + 4 - bytes;
        }
    }
    if (!p->chunked) {
        p->left -= length;
        p->done = p->left <= 0;
        return;
    }
    if (length >= 5) {
        memcpy(p->tail, bytes + length - 5, 5);
    } else {
        memmove(p->tail, p->tail + length, (size_t)(5 - length));
        memcpy(p->tail + 5 - length, bytes, (size_t)length);
    }
    p->done = !memcmp(p->tail, "0\r\n\r\n", 5);
}

// ---- Submissions --------------------------------------------------------------------------------

static struct io_uring_sqe *entry(void) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

// To be called behind io_uring_prep_*, which older versions of liburing let clear the user data.
static void label(struct io_uring_sqe *sqe, Pair *p, int operation) {
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)p | (uint64_t)operation);
}

static void receive(Pair *p, int operation) {
    struct io_uring_sqe *sqe = entry();
    if (operation == FROM_CLIENT)
        io_uring_prep_recv(sqe, p->client, p->request + p->request_length,
                           sizeof p->request - 1 - (size_t)p->request_length, 0);
    else
        io_uring_prep_recv(sqe, p->upstream, p->answer, sizeof p->answer - 1, 0);
    label(sqe, p, operation);
    p->in_flight++;
}

static void send_all(Pair *p, int operation, int fd, int flags) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_send(sqe, fd, p->unsent, (size_t)p->unsent_length,
                       MSG_NOSIGNAL | MSG_WAITALL | flags);
    label(sqe, p, operation);
    if (flags & MSG_DONTWAIT)
        sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    else
        p->in_flight++;
}

// Sends `length` bytes at `bytes` and then receives.
static void hop(Pair *p, int send_operation, char *bytes, int length, int receive_operation) {
    if (io_uring_sq_space_left(&ring) < 2) // a link must not be cut by a submission
        io_uring_submit(&ring);
    p->unsent = bytes;
    p->unsent_length = length;
    send_all(p, send_operation, send_operation == TO_UPSTREAM ? p->upstream : p->client,
             MSG_DONTWAIT);
    receive(p, receive_operation);
}

static void accept_many(int listener) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    label(sqe, NULL, ACCEPT);
}

// ---- Completions --------------------------------------------------------------------------------

static void bury(Pair *p) {
    if (p->dead)
        return;
    p->dead = 1;
    shutdown(p->client, SHUT_RDWR);
    close(p->client);
    if (p->upstream >= 0) {
        shutdown(p->upstream, SHUT_RDWR);
        close(p->upstream);
    }
}

static void accepted(int fd) {
    Pair *p = calloc(1, sizeof *p);
    p->client = fd;
    p->upstream = -1;
    no_delay(fd);
    receive(p, FROM_CLIENT);
}

static void on_request(Pair *p, int n) {
    p->request_length += n;
    if (!request_is_whole(p)) {
        receive(p, FROM_CLIENT);
        return;
    }
    p->upstream = take_upstream();
    p->head_to_come = 1;
    int length = p->request_length;
    p->request_length = 0;
    hop(p, TO_UPSTREAM, p->request, length, FROM_UPSTREAM);
}

static void on_answer(Pair *p, int n) {
    follow_answer(p, n);
    if (p->done) {
        idle[idle_count++] = p->upstream;
        p->upstream = -1;
    }
    hop(p, TO_CLIENT, p->answer, n, p->done ? FROM_CLIENT : FROM_UPSTREAM);
}

// A send that could not finish at once: waits for the rest.
static void on_short_send(Pair *p, int operation, int n) {
    if (n < 0 && n != -EAGAIN) {
        bury(p);
        return;
    }
    n = n < 0 ? 0 : n;
    p->unsent += n;
    p->unsent_length -= n;
    if (operation == TO_UPSTREAM)
        send_all(p, REST_UPSTREAM, p->upstream, 0);
    else
        send_all(p, REST_CLIENT, p->client, 0);
}

static void complete(Pair *p, int operation, int n) {
    p->in_flight--; // for TO_*: the silenced receive behind it
    if (p->dead)
        ;
    else if (operation == FROM_CLIENT && n > 0)
        on_request(p, n);
    else if (operation == FROM_UPSTREAM && n > 0)
        on_answer(p, n);
    else if (operation == TO_UPSTREAM || operation == TO_CLIENT)
        on_short_send(p, operation, n);
    else if (operation == REST_UPSTREAM && n == p->unsent_length)
        receive(p, FROM_UPSTREAM);
    else if (operation == REST_CLIENT && n == p->unsent_length)
        receive(p, p->done ? FROM_CLIENT : FROM_UPSTREAM);
    else
        bury(p);
    if (p->dead && !p->in_flight)
        free(p);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: floor LISTEN_PORT UPSTREAM_PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    upstream_port = atoi(argv[2]);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = loopback(atoi(argv[1]));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("floor: listen");
        return 1;
    }
    struct io_uring_params setup = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                             IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                    .cq_entries = 16384};
    int failed = io_uring_queue_init_params(4096, &ring, &setup);
    if (failed < 0) {
        fprintf(stderr, "floor: io_uring: %s\n", strerror(-failed));
        return 1;
    }
    io_uring_register_ring_fd(&ring);
    accept_many(listener);
    for (;;) {
        io_uring_submit_and_wait(&ring, 1);
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            count++;
            Pair *p = (Pair *)(uintptr_t)(cqe->user_data & ~OPERATION_BITS);
            int operation = (int)(cqe->user_data & OPERATION_BITS);
            if (operation != ACCEPT) {
                complete(p, operation, cqe->res);
                continue;
            }
            if (cqe->res >= 0)
                accepted(cqe->res);
            if (!(cqe->flags & IORING_CQE_F_MORE))
                accept_many(listener);
        }
        io_uring_cq_advance(&ring, count);
    }
}
