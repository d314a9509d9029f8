// load.c - loads a gateway and checks every answer: one thread, epoll, HTTP/1.1 with keep-alive.
//
//   cc -O2 -o load *.c && ./load -u 127.0.0.1:PORT [OPTION...]
//
//   -k KEY             the client's key
//   -m MODEL,MODEL...  asked in turn
//   -d SECONDS         how long new requests begin; those that run may end later
//   -r RATE -n TOKENS  whole answers: so many begin per second, however long the others take
//   -c COUNT           whole answers: so many clients, each of which waits for its answer
//   -s COUNT -N TOKENS so many streams at any time
//   -g SECONDS         the first streams begin within this time
//   -p PATH            asks for this path ten times a second; may be given several times
//   -a KIND            what beside a good answer is no failure: none, refusals (429 and 503 with
//                      retry-after) or errors (any that says so, as an upstream with faults makes
//                      them)
//   -f PERCENT         so many of the whole answers are the last ones on their connection
//   -l, -w, -b PERCENT so many leave at some moment, read slowly, send something broken
//   -Z TOKENS          of the streams that are read slowly
//   -t SECONDS         how long an answer may stand still
//   -S SEED            of what is random
//
// A good answer has the status 200 and exactly the simulator's words, a body as long as announced
// or ended as chunks end, and a stream has [DONE]. A connection that the server closes between two
// requests is opened again; one that it closes while a request runs is a failure. After every
// other stream it is the client that closes. Times count from the moment at which a request was
// due, so a late generator does not look like a fast server. Prints one line of JSON, in
// milliseconds; the first failures are told on standard error. Exit status: 0 when nothing failed,
// 1 when something did.

#define _GNU_SOURCE
#include "answer.h"
#include "request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
#define SECOND 1000000000ull
#define TICK (10 * MS)
#define PROBE_EVERY (100 * MS)
#define SLOW_EVERY (50 * MS)
#define SLOW_BYTES 4096
#define CONNECTIONS_MAX 12000
#define MODELS_MAX 16
#define TOLD_MAX 20

typedef struct {
    float *ms;
    size_t count, room;
} Samples;

typedef enum { SHORT, STREAM, PROBE, BROKEN } Kind;
typedef enum { POLITE, LEAVES, SLOW } Manner;
typedef enum { FREE, DIALING, BUSY, IDLE } Phase;

typedef struct Connection Connection;
struct Connection {
    int fd, seat; // a seat is asked for again as soon as it is free
    Phase phase;
    Kind kind;
    Manner manner;
    const Request *request;
    size_t sent, leave_at; // leaves after so many bytes of the answer
    uint64_t begins, due, moved, leave, read_next;
    unsigned probe;
    Answer answer;
    Connection *before, *after; // of the idle ones, or the next free one
};

static struct sockaddr_in address = {.sin_family = AF_INET};
static int epoll_fd;
static uint64_t start, end, patience = 30 * SECOND;
static int refusals_are_good, errors_are_good, told;
static unsigned fresh_percent, leave_percent, slow_percent, broken_percent, probes;
static size_t models;
static Request shorts[MODELS_MAX], streams[MODELS_MAX], slows[MODELS_MAX], probe_requests[8];
static Request *broken;
static size_t broken_count;

static Connection *all, *spare, idle_end;
static size_t made, open_now, open_most;

static Samples whole_ms, stream_ms, full_ms, queue_ms, first_ms, lag_ms, probe_ms[8];
static struct {
    unsigned long begun, good, good_in_time, streams, pieces, refused_full, refused_queue, errors;
    unsigned long filtered, left, slow, broken, probes, reconnects, not_begun, streams_most;
    // Failures:
    unsigned long bad_status, bad_text, not_whole, cut, reset, unanswered, no_connection, stuck;
    unsigned long no_retry_after, broken_accepted, bad_probe;
} n;
static unsigned long streams_now;
static uint64_t slowest, slowest_due; // of the whole answers

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t state = 88172645463325252ull;

static uint64_t random_64(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 2685821657736338717ull;
}

static uint64_t random_below(uint64_t limit) { return (random_64() >> 32) * limit >> 32; }

static void record(Samples *samples, uint64_t ns) {
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 4096;
        samples->ms = realloc(samples->ms, samples->room * sizeof *samples->ms);
        if (!samples->ms)
            abort();
    }
    samples->ms[samples->count++] = (float)((double)ns / 1e6);
}

// Counts a failure and tells of the first ones.
static void fail(Connection *c, unsigned long *counter, const char *what) {
    static const char *const kinds[] = {"whole", "stream", "probe", "broken"};
    (*counter)++;
    if (told++ >= TOLD_MAX)
        return;
    const Answer *a = &c->answer;
    double at = (double)(now_ns() - start) / 1e9, begun = (double)(c->due - start) / 1e9;
    fprintf(stderr,
            "load: at %.3f s, begun at %.3f s: %s: %s; status %d, %zu bytes, %u pieces: %.300s\n",
            at, begun, kinds[c->kind], what, a->status, (size_t)a->bytes, a->pieces,
            a->body.length ? a->body.at : "");
}

// ---- Connections --------------------------------------------------------------------------------

static void leave_idle(Connection *c) {
    c->before->after = c->after;
    c->after->before = c->before;
}

static void disconnect(Connection *c) {
    if (c->phase == IDLE && !c->seat)
        leave_idle(c);
    if (c->phase == BUSY && c->kind == STREAM)
        streams_now--;
    if (c->fd >= 0) {
        close(c->fd);
        open_now--;
    }
    c->fd = -1;
    c->phase = FREE;
    if (!c->seat) {
        c->after = spare;
        spare = c;
    }
}

static Connection *make(int seat) {
    Connection *c = spare;
    if (!seat && c) {
        spare = c->after;
        return c;
    }
    if (made == CONNECTIONS_MAX)
        return NULL;
    c = &all[made++];
    c->fd = -1;
    c->seat = seat;
    return c;
}

// The one that has been idle for longest, so that all shards of the server get their share.
static Connection *longest_idle(void) {
    while (idle_end.after != &idle_end) {
        Connection *c = idle_end.after;
        char byte;
        // It may have been closed a moment ago.
        if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) {
            leave_idle(c);
            return c;
        }
        n.reconnects++;
        disconnect(c);
    }
    return NULL;
}

static void failed(Connection *c, unsigned long *counter, const char *what) {
    fail(c, counter, what);
    disconnect(c);
    c->begins = now_ns() + 100 * MS;
}

static void push(Connection *c) {
    while (c->sent < c->request->length) {
        ssize_t done = send(c->fd, c->request->bytes + c->sent, c->request->length - c->sent,
                            MSG_NOSIGNAL);
        if (done < 0 && errno == EAGAIN)
            return;
        if (done < 0) {
            // A broken request may be refused before its end; what was said is read then.
            if (c->kind != BROKEN)
                failed(c, &n.unanswered, "closed before the request was sent");
            return;
        }
        c->sent += (size_t)done;
    }
}

static void sending(Connection *c) {
    uint64_t now = now_ns();
    c->phase = BUSY;
    c->moved = now;
    if (c->kind == STREAM && ++streams_now > n.streams_most)
        n.streams_most = streams_now;
    if (c->kind == SHORT)
        record(&lag_ms, now - c->due);
    push(c);
}

static void dial(Connection *c) {
    int one = 1, small = SLOW_BYTES;
    c->phase = DIALING;
    c->moved = now_ns();
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        failed(c, &n.no_connection, strerror(errno));
        return;
    }
    if (++open_now > open_most)
        open_most = open_now;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (c->manner == SLOW)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        failed(c, &n.no_connection, strerror(errno));
}

// ---- Requests -----------------------------------------------------------------------------------

// Sends on the connection there is, or on a new one.
static void ask(Connection *c, Kind kind, Manner manner, const Request *request, uint64_t due) {
    c->kind = kind;
    c->manner = manner;
    c->request = request;
    c->sent = 0;
    c->due = due;
    c->leave = 0;
    c->leave_at = 0;
    c->read_next = 0;
    answer_begin(&c->answer);
    if (manner == LEAVES) {
        // Moments of all sizes: half of them within a few milliseconds, or bytes.
        uint64_t most = 1ull << random_below(31);
        if (random_64() & 1)
            c->leave = due + random_below(most) + 1;
        else
            c->leave_at = random_below(most >> 14) + 1;
    }
    n.begun++;
    if (c->fd >= 0)
        sending(c);
    else
        dial(c);
}

static Manner draw_manner(void) {
    uint64_t drawn = random_below(100);
    return drawn < leave_percent ? LEAVES : drawn < leave_percent + slow_percent ? SLOW : POLITE;
}

static size_t turn; // of the models

static void begin_short(uint64_t due) {
    int is_broken = broken_percent && random_below(100) < broken_percent;
    Manner manner = is_broken ? POLITE : draw_manner();
    // Buffers are small from the beginning or not at all, and a broken request ends a connection.
    Connection *c = is_broken || manner == SLOW ? make(0) : longest_idle();
    if (!c)
        c = make(0);
    if (!c) {
        n.not_begun++;
        return;
    }
    if (is_broken)
        ask(c, BROKEN, POLITE, &broken[random_below(broken_count)], due);
    else
        ask(c, SHORT, manner, &shorts[turn++ % models], due);
}

static void begin_seat(Connection *c, uint64_t now) {
    if (c->kind == PROBE) {
        c->begins = now + PROBE_EVERY;
        ask(c, PROBE, POLITE, &probe_requests[c->probe], now);
        return;
    }
    Manner manner = draw_manner();
    if (manner == SLOW && c->fd >= 0)
        disconnect(c);
    size_t model = turn++ % models;
    const Request *stream = manner == SLOW ? &slows[model] : &streams[model];
    ask(c, c->kind, manner, c->kind == STREAM ? stream : &shorts[model], now);
}

// ---- Verdicts -----------------------------------------------------------------------------------

// An answer that is no success.
static void judge_error(Connection *c) {
    Answer *a = &c->answer;
    if (!answer_is_error(a)) {
        fail(c, &n.bad_status, "a status that is not 200, and no error object");
        return;
    }
    if (a->status < 400 || (!errors_are_good && !refusals_are_good)) {
        fail(c, &n.bad_status, "an error");
        return;
    }
    if (errors_are_good) {
        n.errors++;
        return;
    }
    if (a->status != 503 && a->status != 429) {
        fail(c, &n.bad_status, "an error that is no refusal");
        return;
    }
    if (!a->retry_after) {
        fail(c, &n.no_retry_after, "a refusal without retry-after");
        return;
    }
    // Whoever has waited was in the queue.
    if (a->queue_ms >= 1) {
        n.refused_queue++;
        record(&queue_ms, now_ns() - c->due);
    } else {
        n.refused_full++;
        record(&full_ms, now_ns() - c->due);
    }
}

static void judge_success(Connection *c) {
    Answer *a = &c->answer;
    uint64_t now = now_ns();
    answer_look(a);
    n.pieces += a->pieces;
    if (a->wrong_text || a->text_after_end) {
        fail(c, &n.bad_text, "text that the upstream did not send");
    } else if (errors_are_good && a->filtered && (a->done || !a->streamed)) {
        n.filtered++; // an end that the vendor wanted, perhaps before the last word
    } else if (errors_are_good && a->error_event && !a->done) {
        n.errors++;
    } else if (a->streamed != c->request->streamed || a->said != c->request->text ||
               !a->finished || a->done != a->streamed || a->error_event) {
        fail(c, &n.not_whole, "not all of it");
    } else {
        n.good++;
        n.good_in_time += now <= end;
        n.streams += (unsigned long)a->streamed;
        if (!a->streamed && now - c->due > slowest) {
            slowest = now - c->due;
            slowest_due = c->due;
        }
        record(a->streamed ? &stream_ms : &whole_ms, now - c->due);
    }
}

static void finish(Connection *c) {
    Answer *a = &c->answer;
    int closes = a->closes;
    if (c->kind == STREAM)
        streams_now--;
    c->phase = IDLE;
    if (c->kind == BROKEN) {
        n.broken++;
        if (a->status < 400 || (a->status >= 500 && a->status != 501 && a->status != 505))
            fail(c, &n.broken_accepted, "a broken request got this");
        closes = 1;
    } else if (c->kind == PROBE) {
        n.probes++;
        record(&probe_ms[c->probe], now_ns() - c->due);
        if (a->status != 200)
            fail(c, &n.bad_probe, "not 200");
    } else {
        n.slow += c->manner == SLOW;
        if (a->broken_frame) {
            fail(c, &n.not_whole, "chunks that are none");
        } else if (a->status != 200) {
            c->begins = now_ns() + 50 * MS; // nobody asks at once whoever has refused
            judge_error(c);
        } else {
            judge_success(c);
        }
    }
    // What is slow has small buffers, which polite clients should not get.
    closes |= c->manner == SLOW;
    // The connection ends behind an error event: a client that has read one asks on another.
    closes |= a->error_event;
    n.reconnects += (unsigned long)a->closes;
    // Some clients open a connection for every request.
    closes |= random_below(100) < (c->kind == STREAM ? 50 : c->kind == SHORT ? fresh_percent : 0);
    if (closes) {
        c->phase = FREE;
        disconnect(c);
    } else if (!c->seat) {
        c->before = idle_end.before;
        c->after = &idle_end;
        c->before->after = c->after->before = c;
    }
}

// The server closed, or reset, the connection.
static void closed(Connection *c, int error) {
    Answer *a = &c->answer;
    if (c->phase == DIALING) {
        failed(c, &n.no_connection, strerror(error));
    } else if (c->phase != BUSY) {
        n.reconnects++;
        disconnect(c);
    } else if (!error && a->place == UNTIL_CLOSE) {
        a->place = ENDED;
        finish(c);
    } else if (c->kind == BROKEN) {
        n.broken++; // no answer is one, too
        disconnect(c);
    } else if (!a->bytes) {
        failed(c, &n.unanswered, error ? "reset without an answer" : "closed without an answer");
    } else if (error) {
        failed(c, &n.reset, "reset in its answer");
    } else if (errors_are_good && a->error_event) {
        n.errors++;
        disconnect(c);
    } else {
        failed(c, &n.cut, "closed in its answer");
    }
}

static void walk_away(Connection *c) {
    // Half of them with a reset.
    struct linger hard = {1, 0};
    if (random_64() & 1)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    n.left++;
    disconnect(c);
}

static void receive(Connection *c) {
    static char bytes[262144];
    size_t most = c->manner == SLOW ? SLOW_BYTES : sizeof bytes;
    for (;;) {
        ssize_t got = recv(c->fd, bytes, most, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            closed(c, got < 0 ? errno : 0);
            return;
        }
        if (c->phase != BUSY) {
            fail(c, &n.bad_text, "bytes that nobody asked for");
            disconnect(c);
            return;
        }
        c->moved = now_ns();
        if (!c->answer.bytes && c->kind == STREAM)
            record(&first_ms, c->moved - c->due);
        size_t used = answer_take(&c->answer, bytes, (size_t)got);
        if (c->leave_at && c->answer.bytes >= c->leave_at) {
            walk_away(c);
            return;
        }
        if (c->answer.place == ENDED) {
            if (used < (size_t)got)
                fail(c, &n.bad_text, "bytes behind the end");
            finish(c);
            if (c->fd < 0)
                return;
        }
        if (c->manner == SLOW)
            return;
    }
}

// ---- The program --------------------------------------------------------------------------------

static void on_event(Connection *c, uint32_t events) {
    if (c->fd < 0)
        return;
    if (c->phase == DIALING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) {
            closed(c, error);
            return;
        }
        sending(c);
    } else if (c->phase == BUSY && (events & EPOLLOUT)) {
        push(c);
    }
    if (c->fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) &&
        !(c->phase == BUSY && c->manner == SLOW))
        receive(c);
}

// What depends on time alone; how many are busy.
static size_t tick(uint64_t now) {
    size_t busy = 0;
    for (size_t i = 0; i < made; i++) {
        Connection *c = &all[i];
        if (c->phase != BUSY && c->phase != DIALING)
            continue;
        if (c->leave && now >= c->leave) {
            walk_away(c);
        } else if (c->phase == BUSY && c->manner == SLOW && now >= c->read_next) {
            c->read_next = now + SLOW_EVERY;
            receive(c);
        } else if (now >= c->moved + patience) {
            failed(c, &n.stuck, "nothing comes");
        }
        busy += c->phase == BUSY || c->phase == DIALING;
    }
    return busy;
}

static void run(size_t seats, double rate) {
    static struct epoll_event ready[512];
    uint64_t gap = rate > 0 ? (uint64_t)(1e9 / rate) : 0, due = start, next_tick = start;
    for (;;) {
        uint64_t now = now_ns();
        for (; gap && due <= now && due < end; due += gap)
            begin_short(due);
        uint64_t wake = next_tick;
        if (gap && due < end && due < wake)
            wake = due;
        for (size_t i = 0; i < seats && now < end; i++) {
            Connection *c = &all[i];
            if ((c->phase == FREE || c->phase == IDLE) && c->begins <= now)
                begin_seat(c, now);
        }
        if (now >= next_tick) {
            next_tick = now + TICK;
            if (!tick(now) && now >= end)
                return;
        }
        struct timespec wait = {0, wake > now ? (long)(wake - now) : 0};
        int count = epoll_pwait2(epoll_fd, ready, 512, &wait, NULL);
        for (int i = 0; i < count; i++)
            on_event(ready[i].data.ptr, ready[i].events);
    }
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void print_samples(const char *name, Samples *s) {
    if (!s->count)
        return;
    qsort(s->ms, s->count, sizeof *s->ms, by_value);
    printf(",\"%s\":{\"count\":%zu,\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f}", name,
           s->count, s->ms[s->count / 2], s->ms[s->count * 99 / 100], s->ms[s->count * 999 / 1000],
           s->ms[s->count - 1]);
}

static int report(double seconds) {
    const struct {
        const char *name;
        unsigned long count;
    } failures[] = {
        {"bad_status", n.bad_status},         {"bad_text", n.bad_text},
        {"not_whole", n.not_whole},           {"cut", n.cut},
        {"reset", n.reset},                   {"unanswered", n.unanswered},
        {"no_connection", n.no_connection},   {"stuck", n.stuck},
        {"no_retry_after", n.no_retry_after}, {"broken_accepted", n.broken_accepted},
        {"bad_probe", n.bad_probe},
    };
    printf("{\"seconds\":%.1f,\"begun\":%lu,\"not_begun\":%lu,\"good\":%lu,\"goodput\":%.1f,"
           "\"sent_per_second\":%.1f,\"streams\":%lu,\"streams_most\":%lu,\"pieces\":%lu,"
           "\"refused_full\":%lu,\"refused_queue\":%lu,\"errors\":%lu,\"filtered\":%lu,"
           "\"left\":%lu,\"slow\":%lu,\"broken\":%lu,\"probes\":%lu,\"reconnects\":%lu,"
           "\"connections_most\":%zu",
           seconds, n.begun, n.not_begun, n.good, (double)n.good_in_time / seconds,
           (double)lag_ms.count / seconds, n.streams, n.streams_most, n.pieces, n.refused_full,
           n.refused_queue, n.errors, n.filtered, n.left, n.slow, n.broken, n.probes, n.reconnects,
           open_most);
    unsigned long sum = 0;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        printf(",\"%s\":%lu", failures[i].name, failures[i].count);
        sum += failures[i].count;
    }
    printf(",\"failed\":%lu,\"slowest_at\":%.3f", sum,
           slowest ? (double)(slowest_due - start) / 1e9 : 0);
    print_samples("whole_ms", &whole_ms);
    print_samples("stream_ms", &stream_ms);
    print_samples("full_ms", &full_ms);
    print_samples("queue_ms", &queue_ms);
    print_samples("first_ms", &first_ms);
    print_samples("lag_ms", &lag_ms);
    for (unsigned i = 0; i < probes; i++) {
        char name[24];
        snprintf(name, sizeof name, "probe_%u_ms", i);
        print_samples(name, &probe_ms[i]);
    }
    printf("}\n");
    return sum > 0;
}

// ---- Start --------------------------------------------------------------------------------------

static void usage(void) {
    fprintf(stderr, "usage: load -u HOST:PORT [OPTION...]; the options are told in load.c\n");
    exit(2);
}

static void parse_address(const char *text) {
    char host[64];
    snprintf(host, sizeof host, "%s", text);
    char *colon = strchr(host, ':');
    if (!colon)
        usage();
    *colon = 0;
    address.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        usage();
}

int main(int argc, char **argv) {
    const char *paths[8];
    char *names = strdup("gemini-2.5-flash");
    unsigned tokens = 10, stream_tokens = 100, slow_tokens = 1000;
    size_t clients = 0, stream_count = 0;
    double seconds = 1, rate = 0, ramp = 1;
    int option;
    while ((option = getopt(argc, argv, "u:k:m:d:r:n:c:s:N:g:p:a:f:l:w:b:Z:t:S:")) != -1) {
        switch (option) {
        case 'u': request_to = optarg; break;
        case 'k': request_key = optarg; break;
        case 'm': names = optarg; break;
        case 'd': seconds = atof(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'n': tokens = (unsigned)atoi(optarg); break;
        case 'c': clients = strtoul(optarg, NULL, 10); break;
        case 's': stream_count = strtoul(optarg, NULL, 10); break;
        case 'N': stream_tokens = (unsigned)atoi(optarg); break;
        case 'g': ramp = atof(optarg); break;
        case 'p':
            if (probes == 8)
                usage();
            paths[probes++] = optarg;
            break;
        case 'a':
            refusals_are_good = !strcmp(optarg, "refusals");
            errors_are_good = !strcmp(optarg, "errors");
            if (!refusals_are_good && !errors_are_good && strcmp(optarg, "none"))
                usage();
            break;
        case 'f': fresh_percent = (unsigned)atoi(optarg); break;
        case 'l': leave_percent = (unsigned)atoi(optarg); break;
        case 'w': slow_percent = (unsigned)atoi(optarg); break;
        case 'b': broken_percent = (unsigned)atoi(optarg); break;
        case 'Z': slow_tokens = (unsigned)atoi(optarg); break;
        case 't': patience = (uint64_t)(atof(optarg) * 1e9); break;
        case 'S': state += strtoull(optarg, NULL, 10) * 0x9e3779b97f4a7c15ull; break;
        default: usage();
        }
    }
    if (!request_to || seconds <= 0 || optind < argc)
        usage();
    if (clients + stream_count + 100 > CONNECTIONS_MAX)
        usage();
    parse_address(request_to);
    for (char *name = strtok(names, ","); name && models < MODELS_MAX; name = strtok(NULL, ",")) {
        shorts[models] = request_chat(name, tokens, 0);
        streams[models] = request_chat(name, stream_tokens, 1);
        slows[models++] = request_chat(name, slow_tokens, 1);
    }
    expected_length(TOKENS_MAX);
    broken = request_broken(&broken_count);
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(0);
    all = calloc(CONNECTIONS_MAX, sizeof *all);
    idle_end.before = idle_end.after = &idle_end;
    start = now_ns();
    end = start + (uint64_t)(seconds * 1e9);
    for (size_t i = 0; i < clients; i++)
        make(1)->kind = SHORT;
    for (size_t i = 0; i < stream_count; i++) {
        Connection *c = make(1);
        c->kind = STREAM;
        c->begins = start + (uint64_t)(ramp * 1e9 * (double)i / (double)stream_count);
    }
    for (unsigned i = 0; i < probes; i++) {
        probe_requests[i] = request_probe(paths[i]);
        Connection *c = make(1);
        c->kind = PROBE;
        c->probe = i;
    }
    run(made, rate);
    return report(seconds);
}
