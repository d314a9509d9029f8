// load.c - a closed-loop HTTP/1.1 load generator for mock.c: one thread, epoll, checks every answer.
//
//   load -u 127.0.0.1:PORT [-m MODEL] [-k KEY] [-c CONNECTIONS] [-d SECONDS] [-s] [-e PIECES]
//       [-g MICROSECONDS]
//
// Every connection sends a chat request and the next one as soon as the answer has ended. An answer
// is good when its status is 200 and the mock's mark "mocktok:" occurs once, or with -s (stream)
// exactly PIECES times with [DONE] at the end. With -g the connections begin that far apart, so that
// paced streams do not all have their pieces at the same moment. Prints one line of JSON; times are microseconds:
// `lat` is a whole answer, `ttft` the first piece of a stream, `piece` the way of one piece from
// the mock to here (only paced pieces carry the time). Exit status 1 when no answer was good.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    float *us;
    size_t count, capacity;
} Samples;

// Where the next byte of an answer belongs.
typedef enum {
    HEAD,
    FIXED_BODY,
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_DATA,
    CHUNK_END,
    TRAILER,
    UNTIL_CLOSE,
} Place;

typedef struct {
    int fd, busy; // fd -1: not connected
    Place place;
    uint64_t begins_ns, started_ns;
    uint64_t left; // bytes of a body or chunk
    int status, closes;
    int marks, done;                // marks seen, [DONE] seen
    int in_mark, in_done, in_stamp; // matched so far of "mocktok:" and "[DONE]", digits to come
    int line_has_text;              // of the trailer
    uint64_t stamp_ns;
    size_t head_length;
    char head[8192];
} Connection;

static struct sockaddr_in address = {.sin_family = AF_INET};
static int epoll_fd, streamed, pieces_wanted = 50, last_status;
static char request[8192];
static size_t request_length;
static unsigned long good, bad_status, bad_body, not_done, socket_errors, pieces;
static Samples latency, first_piece, piece_way;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void record(Samples *samples, uint64_t ns) {
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 65536;
        samples->us = realloc(samples->us, samples->capacity * sizeof *samples->us);
        if (!samples->us)
            abort();
    }
    samples->us[samples->count++] = (float)ns / 1000.0f;
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void print_samples(const char *name, Samples *samples) {
    if (!samples->count)
        return;
    qsort(samples->us, samples->count, sizeof *samples->us, by_value);
    printf(",\"%s_p50\":%.1f,\"%s_p99\":%.1f", name, samples->us[samples->count / 2], name,
           samples->us[samples->count * 99 / 100]);
}

// ---- Connections --------------------------------------------------------------------------------

static void disconnect(Connection *c) {
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->busy = 0;
}

static int dial(Connection *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address)) {
        disconnect(c);
        socket_errors++;
        return 0;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
    return 1;
}

static void send_request(Connection *c) {
    if (c->fd < 0 && !dial(c))
        return;
    c->place = HEAD;
    c->head_length = 0;
    c->marks = c->done = c->in_mark = c->in_done = c->in_stamp = c->closes = 0;
    c->started_ns = now_ns();
    c->busy = 1;
    if (send(c->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length) {
        disconnect(c);
        socket_errors++;
    }
}

// ---- Answers ------------------------------------------------------------------------------------

// Counts marks, reads their times, sees [DONE]; works across cuts.
static void scan(Connection *c, const char *bytes, size_t length) {
    static const char mark[] = "mocktok:", done[] = "[DONE]";
    for (size_t i = 0; i < length; i++) {
        char byte = bytes[i];
        if (c->in_stamp) {
            c->stamp_ns = c->stamp_ns * 10 + (uint64_t)(byte - '0');
            if (--c->in_stamp == 0 && c->stamp_ns)
                record(&piece_way, now_ns() - c->stamp_ns);
            continue;
        }
        c->in_mark = byte == mark[c->in_mark] ? c->in_mark + 1 : byte == mark[0];
        if (c->in_mark == 8) {
            c->in_mark = 0;
            c->in_stamp = 19;
            c->stamp_ns = 0;
            pieces++;
            if (!c->marks++ && streamed)
                record(&first_piece, now_ns() - c->started_ns);
        }
        c->in_done = byte == done[c->in_done] ? c->in_done + 1 : byte == done[0];
        if (c->in_done == 6) {
            c->in_done = 0;
            c->done = 1;
        }
    }
}

static const char *field(const char *head, const char *name) {
    const char *at = strcasestr(head, name);
    if (!at)
        return NULL;
    at += strlen(name);
    return at + strspn(at, " ");
}

// Reads the gathered head and decides how the body ends.
static void read_head(Connection *c) {
    const char *value;
    c->status = atoi(c->head + 9);
    value = field(c->head, "\r\nconnection:");
    c->closes = value && !strncasecmp(value, "close", 5);
    if ((value = field(c->head, "\r\ntransfer-encoding:")) && !strncasecmp(value, "chunked", 7)) {
        c->place = CHUNK_SIZE;
        c->left = 0;
    } else if ((value = field(c->head, "\r\ncontent-length:"))) {
        c->place = FIXED_BODY;
        c->left = strtoull(value, NULL, 10);
    } else {
        c->place = UNTIL_CLOSE;
        c->closes = 1;
    }
}

// Takes bytes of a head; how many of them.
static size_t take_head(Connection *c, const char *bytes, size_t length) {
    size_t before = c->head_length, room = sizeof c->head - 1 - before;
    size_t taken = length < room ? length : room;
    memcpy(c->head + before, bytes, taken);
    c->head_length += taken;
    c->head[c->head_length] = 0;
    char *end = strstr(c->head + (before > 3 ? before - 3 : 0), "\r\n\r\n");
    if (!end)
        return taken;
    size_t used = (size_t)(end + 4 - c->head) - before;
    end[2] = 0;
    c->head_length = 0;
    if (atoi(c->head + 9) != 100)
        read_head(c);
    return used;
}

static void take_chunk_size(Connection *c, char byte) {
    if (byte == '\n') {
        c->line_has_text = 0;
        c->place = c->left ? CHUNK_DATA : TRAILER;
    } else if (byte >= '0' && byte <= '9') {
        c->left = c->left * 16 + (uint64_t)(byte - '0');
    } else if ((byte | 32) >= 'a' && (byte | 32) <= 'f') {
        c->left = c->left * 16 + (uint64_t)((byte | 32) - 'a' + 10);
    } else if (byte == ';') {
        c->place = CHUNK_EXTENSION;
    }
}

// Takes a byte of what stands between chunks; 1 when the answer has ended.
static int take_framing(Connection *c, char byte) {
    switch (c->place) {
    case CHUNK_SIZE:
        take_chunk_size(c, byte);
        return 0;
    case CHUNK_EXTENSION:
        if (byte == '\n')
            take_chunk_size(c, byte);
        return 0;
    case CHUNK_END:
        if (byte == '\n') {
            c->place = CHUNK_SIZE;
            c->left = 0;
        }
        return 0;
    default: // TRAILER
        if (byte == '\n' && !c->line_has_text)
            return 1;
        if (byte != '\r')
            c->line_has_text = byte != '\n';
        return 0;
    }
}

// 1 when the answer has ended.
static int take(Connection *c, const char *bytes, size_t length) {
    while (length) {
        size_t used = 1;
        if (c->place == HEAD) {
            used = take_head(c, bytes, length);
            if (c->place == FIXED_BODY && !c->left)
                return 1;
            if (!used)
                return 1; // a head without end: `finish` sees a status that is none
        } else if (c->place == UNTIL_CLOSE) {
            used = length;
            scan(c, bytes, used);
        } else if (c->place == FIXED_BODY || c->place == CHUNK_DATA) {
            used = length < c->left ? length : c->left;
            scan(c, bytes, used);
            c->left -= used;
            if (!c->left && c->place == FIXED_BODY)
                return 1;
            if (!c->left)
                c->place = CHUNK_END;
        } else if (take_framing(c, *bytes)) {
            return 1;
        }
        bytes += used;
        length -= used;
    }
    return 0;
}

static void finish(Connection *c) {
    c->busy = 0;
    if (c->status != 200) {
        bad_status++;
        last_status = c->status;
    } else if (c->marks != (streamed ? pieces_wanted : 1)) {
        bad_body++;
    } else if (streamed && !c->done) {
        not_done++;
    } else {
        good++;
        record(&latency, now_ns() - c->started_ns);
    }
    if (c->closes)
        disconnect(c);
}

static void receive(Connection *c) {
    static char bytes[262144];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n > 0) {
        if (take(c, bytes, (size_t)n))
            finish(c);
    } else if (n == 0 && c->busy && c->place == UNTIL_CLOSE) {
        finish(c);
    } else if (n == 0 || errno != EAGAIN) {
        socket_errors += (unsigned long)c->busy;
        disconnect(c);
    }
}

// ---- The program --------------------------------------------------------------------------------

// Keeps every connection busy until `end_ns`, then waits for what runs, for five seconds at most.
static void run(Connection *all, int count, uint64_t end_ns) {
    for (;;) {
        uint64_t now = now_ns(), begin_ns = now + 50000000; // the next connection's, or a look
        int busy = 0;
        for (int i = 0; i < count; i++) {
            if (all[i].begins_ns > now)
                begin_ns = all[i].begins_ns < begin_ns ? all[i].begins_ns : begin_ns;
            else if (now < end_ns && !all[i].busy)
                send_request(&all[i]);
            busy += all[i].busy;
        }
        if (now >= end_ns && (!busy || now >= end_ns + 5000000000))
            return;
        struct epoll_event ready[256];
        struct timespec wait = {0, (long)(begin_ns - now)};
        int n = epoll_pwait2(epoll_fd, ready, 256, &wait, NULL);
        for (int i = 0; i < n; i++) {
            Connection *c = ready[i].data.ptr;
            receive(c);
            if (!c->busy && now_ns() < end_ns)
                send_request(c);
        }
    }
}

static void usage(void) {
    fprintf(stderr, "usage: load -u HOST:PORT [-m MODEL] [-k KEY] [-c CONNECTIONS] [-d SECONDS] "
                    "[-s] [-e PIECES] [-g MICROSECONDS]\n");
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
    const char *to = NULL, *model = "gemini-2.5-flash", *key = "sk-vertex-bridge-dev";
    int count = 1, option;
    double seconds = 1;
    uint64_t gap_ns = 0;
    while ((option = getopt(argc, argv, "u:m:k:c:d:se:g:")) != -1) {
        switch (option) {
        case 'u':
            to = optarg;
            break;
        case 'm':
            model = optarg;
            break;
        case 'k':
            key = optarg;
            break;
        case 'c':
            count = atoi(optarg);
            break;
        case 'd':
            seconds = atof(optarg);
            break;
        case 's':
            streamed = 1;
            break;
        case 'e':
            pieces_wanted = atoi(optarg);
            break;
        case 'g':
            gap_ns = strtoul(optarg, NULL, 10) * 1000;
            break;
        default:
            usage();
        }
    }
    if (!to || count < 1 || seconds <= 0)
        usage();
    parse_address(to);
    char body[1024];
    int length = snprintf(body, sizeof body,
                          "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":"
                          "\"Hello\"}],\"max_tokens\":10%s}",
                          model, streamed ? ",\"stream\":true" : "");
    request_length = (size_t)snprintf(
        request, sizeof request,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
        to, key, length, body);
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(0);
    Connection *all = calloc((size_t)count, sizeof *all);
    uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
    for (int i = 0; i < count; i++) {
        all[i].fd = -1;
        all[i].begins_ns = start + (uint64_t)i * gap_ns;
    }
    run(all, count, end);
    unsigned long unfinished = 0;
    for (int i = 0; i < count; i++)
        unfinished += (unsigned long)all[i].busy;
    printf("{\"good\":%lu,\"bad_status\":%lu,\"last_status\":%d,\"bad_body\":%lu,\"not_done\":%lu,"
           "\"socket_errors\":%lu,\"unfinished\":%lu,\"pieces\":%lu,\"rps\":%.1f",
           good, bad_status, last_status, bad_body, not_done, socket_errors, unfinished, pieces,
           (double)good / seconds);
    print_samples("lat", &latency);
    print_samples("ttft", &first_piece);
    print_samples("piece", &piece_way);
    printf("}\n");
    return good ? 0 : 1;
}
