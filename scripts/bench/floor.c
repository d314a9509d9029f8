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

#define PROGRAM "floor"
#include "floor.h"

// What a completion is about, beside ACCEPT.
enum { FROM_CLIENT = 1, TO_UPSTREAM, FROM_UPSTREAM, TO_CLIENT, REST_UPSTREAM, REST_CLIENT };

// A client and, while a request runs, its upstream.
typedef struct {
    int client, upstream; // upstream -1: none
    int in_flight, dead;
    Answer answer;
    char *unsent;
    int unsent_length;
    int request_length;
    char request[16384], bytes[32768]; // bytes: of the answer, as they came last
} Pair;

static int idle[65536], idle_count;

static int take_upstream(void) {
    return idle_count ? idle[--idle_count] : connect_upstream();
}

// ---- Submissions --------------------------------------------------------------------------------

static void receive(Pair *p, int operation) {
    struct io_uring_sqe *sqe = entry();
    if (operation == FROM_CLIENT)
        io_uring_prep_recv(sqe, p->client, p->request + p->request_length,
                           sizeof p->request - 1 - (size_t)p->request_length, 0);
    else
        io_uring_prep_recv(sqe, p->upstream, p->bytes, sizeof p->bytes - 1, 0);
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
    p->request[p->request_length] = 0;
    if (!request_is_whole(p->request, p->request_length)) {
        receive(p, FROM_CLIENT);
        return;
    }
    p->upstream = take_upstream();
    p->answer.head_to_come = 1;
    int length = p->request_length;
    p->request_length = 0;
    hop(p, TO_UPSTREAM, p->request, length, FROM_UPSTREAM);
}

static void on_answer(Pair *p, int n) {
    p->bytes[n] = 0;
    follow_answer(&p->answer, p->bytes, n);
    if (p->answer.done) {
        idle[idle_count++] = p->upstream;
        p->upstream = -1;
    }
    hop(p, TO_CLIENT, p->bytes, n, p->answer.done ? FROM_CLIENT : FROM_UPSTREAM);
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
        receive(p, p->answer.done ? FROM_CLIENT : FROM_UPSTREAM);
    else
        bury(p);
    if (p->dead && !p->in_flight)
        free(p);
}

int main(int argc, char **argv) {
    int listener = begin(argc, argv);
    set_up_ring();
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
