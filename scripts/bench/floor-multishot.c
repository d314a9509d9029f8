// floor-multishot.c - the work of floor.c in another form of io_uring, to see which one costs less.
//
//   floor-multishot LISTEN_PORT UPSTREAM_PORT
//
// Every connection has one multishot receive for its whole life, which takes buffers from a ring
// that the kernel and we share; what has come is sent straight out of such a buffer. So a message
// costs one submission (a send that copies at once and has no completion when it was whole) and one
// completion. A buffer goes back to the ring when the send out of it has been submitted.
//
// A send that cannot finish at once ends its connection: there is no slow way here, and the load
// generator reports it. Like floor.c it knows only Content-Length and the last chunk.

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

// What a completion is about; it travels in the low bits of the side's address.
enum { ACCEPT, RECEIVED, SENT };
#define OPERATION_BITS 7ull

// The ring hands its buffers out in turns, so few of them stay in the processor's cache.
#define BUFFERS 512
#define BUFFER_SIZE 16384

// A connection: a client's, or one to the upstream.
typedef struct Side Side;
struct Side {
    int fd, is_upstream, closed;
    Side *peer;                      // while a request runs
    int head_to_come, chunked, done; // of the answer
    long left;                       // bytes of an answer with Content-Length
    char tail[5];                    // last bytes of a chunked answer
    char *gathered;                  // a request that comes in pieces
    int gathered_length;
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffer_ring;
static char *buffers;
static int used[BUFFERS], used_count; // buffers whose bytes are to be sent
static int upstream_port, idle_count, unused_count;
static Side *idle[65536], *unused[65536];

static void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
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
static void label(struct io_uring_sqe *sqe, Side *side, int operation) {
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)side | (uint64_t)operation);
}

static void receive_always(Side *side) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_recv_multishot(sqe, side->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    label(sqe, side, RECEIVED);
}

static void send_all(Side *side, const char *bytes, int length) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_send(sqe, side->fd, bytes, (size_t)length,
                       MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    label(sqe, side, SENT);
}

static void accept_always(int listener) {
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    label(sqe, NULL, ACCEPT);
}

// ---- Connections --------------------------------------------------------------------------------

static Side *new_side(int fd, int is_upstream) {
    Side *side = unused_count ? unused[--unused_count] : malloc(sizeof *side);
    memset(side, 0, sizeof *side);
    side->fd = fd;
    side->is_upstream = is_upstream;
    no_delay(fd);
    receive_always(side);
    return side;
}

static Side *take_upstream(void) {
    if (idle_count)
        return idle[--idle_count];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(upstream_port);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("floor-multishot: connect");
        exit(1);
    }
    return new_side(fd, 1);
}

// Its receive ends with it; then it is put away.
static void hang_up(Side *side) {
    if (side && !side->closed)
        shutdown(side->fd, SHUT_RDWR);
}

static void put_away(Side *side) {
    Side *peer = side->peer;
    if (peer) {
        peer->peer = side->peer = NULL;
        hang_up(peer);
    } else if (side->is_upstream) { // an idle one
        for (int i = 0; i < idle_count; i++)
            if (idle[i] == side)
                idle[i] = idle[--idle_count];
    }
    side->closed = 1;
    close(side->fd);
    free(side->gathered);
    side->gathered = NULL;
    unused[unused_count++] = side;
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

static void on_request(Side *client, char *bytes, int length) {
    if (client->gathered_length || !request_is_whole(bytes, length)) {
        if (!client->gathered)
            client->gathered = malloc(4 * BUFFER_SIZE);
        if (client->gathered_length + length >= 4 * BUFFER_SIZE) {
            hang_up(client);
            return;
        }
        memcpy(client->gathered + client->gathered_length, bytes, (size_t)length + 1);
        client->gathered_length += length;
        if (!request_is_whole(client->gathered, client->gathered_length))
            return;
        bytes = client->gathered;
        length = client->gathered_length;
        client->gathered_length = 0;
    }
    Side *upstream = take_upstream();
    client->peer = upstream;
    upstream->peer = client;
    upstream->head_to_come = 1;
    send_all(upstream, bytes, length);
}

// Takes note of `length` bytes of the answer, and of its end.
static void follow_answer(Side *upstream, char *bytes, long length) {
    if (upstream->head_to_come) {
        upstream->head_to_come = upstream->done = 0;
        char *end = memmem(bytes, (size_t)length, "\r\n\r\n", 4);
        char *field = strcasestr(bytes, "\r\ncontent-length:");
        upstream->chunked = !(end && field && field < end);
        if (!upstream->chunked) {
            upstream->left = atol(field + 17);
            length -= end + 4 - bytes;
        }
    }
    if (!upstream->chunked) {
        upstream->left -= length;
        upstream->done = upstream->left <= 0;
        return;
    }
    if (length >= 5) {
        memcpy(upstream->tail, bytes + length - 5, 5);
    } else {
        memmove(upstream->tail, upstream->tail + length, (size_t)(5 - length));
        memcpy(upstream->tail + 5 - length, bytes, (size_t)length);
    }
    upstream->done = !memcmp(upstream->tail, "0\r\n\r\n", 5);
}

static void on_answer(Side *upstream, char *bytes, int length) {
    Side *client = upstream->peer;
    if (!client)
        return;
    follow_answer(upstream, bytes, length);
    if (upstream->done) {
        upstream->peer = client->peer = NULL;
        idle[idle_count++] = upstream;
    }
    send_all(client, bytes, length);
}

// ---- Completions --------------------------------------------------------------------------------

static void received(Side *side, const struct io_uring_cqe *cqe) {
    int n = cqe->res, more = cqe->flags & IORING_CQE_F_MORE;
    if (n > 0) {
        int which = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        char *bytes = buffers + (size_t)which * BUFFER_SIZE;
        used[used_count++] = which;
        bytes[n] = 0;
        if (side->is_upstream)
            on_answer(side, bytes, n);
        else
            on_request(side, bytes, n);
    }
    if (more)
        return;
    if (n > 0 || n == -ENOBUFS)
        receive_always(side);
    else
        put_away(side);
}

static void give_back(void) {
    for (int i = 0; i < used_count; i++)
        io_uring_buf_ring_add(buffer_ring, buffers + (size_t)used[i] * BUFFER_SIZE, BUFFER_SIZE - 1,
                              (unsigned short)used[i], BUFFERS - 1, i);
    io_uring_buf_ring_advance(buffer_ring, used_count);
    used_count = 0;
}

static void set_up_ring(void) {
    struct io_uring_params setup = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                             IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                    .cq_entries = 16384};
    int failed = io_uring_queue_init_params(4096, &ring, &setup);
    if (!failed) {
        io_uring_register_ring_fd(&ring);
        buffers = aligned_alloc(4096, (size_t)BUFFERS * BUFFER_SIZE);
        buffer_ring = aligned_alloc(4096, BUFFERS * sizeof(struct io_uring_buf));
        struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)buffer_ring,
                                                .ring_entries = BUFFERS};
        failed = io_uring_register_buf_ring(&ring, &registration, 0);
    }
    if (failed) {
        fprintf(stderr, "floor-multishot: io_uring: %s\n", strerror(-failed));
        exit(1);
    }
    io_uring_buf_ring_init(buffer_ring);
    for (int i = 0; i < BUFFERS; i++)
        used[i] = i;
    used_count = BUFFERS;
    give_back();
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = loopback(port);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("floor-multishot: listen");
        exit(1);
    }
    return listener;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: floor-multishot LISTEN_PORT UPSTREAM_PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    upstream_port = atoi(argv[2]);
    int listener = listen_on(atoi(argv[1]));
    set_up_ring();
    accept_always(listener);
    for (;;) {
        io_uring_submit_and_wait(&ring, 1);
        give_back(); // what was to be sent out of them has been submitted
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            count++;
            Side *side = (Side *)(uintptr_t)(cqe->user_data & ~OPERATION_BITS);
            int operation = (int)(cqe->user_data & OPERATION_BITS);
            if (operation == RECEIVED) {
                received(side, cqe);
            } else if (operation == SENT) {
                hang_up(side);
            } else {
                if (cqe->res >= 0)
                    new_side(cqe->res, 0);
                if (!(cqe->flags & IORING_CQE_F_MORE))
                    accept_always(listener);
            }
        }
        io_uring_cq_advance(&ring, count);
    }
}
