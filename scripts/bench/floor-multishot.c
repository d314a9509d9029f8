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

#define PROGRAM "floor-multishot"
#include "floor.h"

// What a completion is about, beside ACCEPT.
enum { RECEIVED = 1, SENT };

// The ring hands its buffers out in turns, so few of them stay in the processor's cache.
#define BUFFERS 512
#define BUFFER_SIZE 16384

// A connection: a client's, or one to the upstream.
typedef struct Side Side;
struct Side {
    int fd, is_upstream, closed;
    Side *peer;     // while a request runs
    Answer answer;
    char *gathered; // a request that comes in pieces
    int gathered_length;
};

static struct io_uring_buf_ring *buffer_ring;
static char *buffers;
static int used[BUFFERS], used_count; // buffers whose bytes are to be sent
static int idle_count, unused_count;
static Side *idle[65536], *unused[65536];

// ---- Submissions --------------------------------------------------------------------------------

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

// ---- Connections --------------------------------------------------------------------------------

static Side *new_side(int fd, int is_upstream) {
    Side *side = unused_count ? unused[--unused_count] : malloc(sizeof *side);
    memset(side, 0, sizeof *side);
    side->fd = fd;
    side->is_upstream = is_upstream;
    receive_always(side);
    return side;
}

static Side *take_upstream(void) {
    return idle_count ? idle[--idle_count] : new_side(connect_upstream(), 1);
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

// ---- Messages -----------------------------------------------------------------------------------

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
    upstream->answer.head_to_come = 1;
    send_all(upstream, bytes, length);
}

static void on_answer(Side *upstream, char *bytes, int length) {
    Side *client = upstream->peer;
    if (!client)
        return;
    follow_answer(&upstream->answer, bytes, length);
    if (upstream->answer.done) {
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

static void set_up_buffers(void) {
    buffers = aligned_alloc(4096, (size_t)BUFFERS * BUFFER_SIZE);
    buffer_ring = aligned_alloc(4096, BUFFERS * sizeof(struct io_uring_buf));
    struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)buffer_ring,
                                            .ring_entries = BUFFERS};
    int failed = io_uring_register_buf_ring(&ring, &registration, 0);
    if (failed) {
        fprintf(stderr, PROGRAM ": io_uring: %s\n", strerror(-failed));
        exit(1);
    }
    io_uring_buf_ring_init(buffer_ring);
    for (int i = 0; i < BUFFERS; i++)
        used[i] = i;
    used_count = BUFFERS;
    give_back();
}

int main(int argc, char **argv) {
    int listener = begin(argc, argv);
    set_up_ring();
    set_up_buffers();
    accept_many(listener);
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
                if (cqe->res >= 0) {
                    no_delay(cqe->res);
                    new_side(cqe->res, 0);
                }
                if (!(cqe->flags & IORING_CQE_F_MORE))
                    accept_many(listener);
            }
        }
        io_uring_cq_advance(&ring, count);
    }
}
