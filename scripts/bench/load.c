// load.c - a closed-loop HTTP/1.1 load generator for mock.c: one thread, epoll; checks all answers.
//
//   load -u 127.0.0.1:PORT [-m MODEL] [-k KEY] [-c CONNECTIONS] [-d SECONDS] [-b small|large]
//       [-s] [-e PIECES] [-g MICROSECONDS] [-x SECONDS] [-w SECONDS] [-a ADDRESSES]
//   load -u 127.0.0.1:PORT [-m MODEL] [-k KEY] -q CONNECTIONS
//
// Every connection sends a chat request and the next one as soon as the answer has ended. An answer
// is good when its status is 200 and the mock's mark "mocktok:" occurs once, or with -s (stream)
// exactly PIECES times with [DONE] at the end.
//
//   -b large  a prompt of 8 KiB and six tools with schemas, as agents send them
//   -g        the connections begin that far apart, so that paced streams do not all have their
//             pieces at the same moment
//   -x        before -d begins that long is not measured: connections and pools are made in it
//   -w        how long to wait for what still runs at the end (5)
//   -a        so many source addresses, 127.0.0.1 and on: each has 28,000 ports of its own
//   -q        idle connections: each sends one request and stays; goes on until it is killed
//
// Prints one line of JSON; times are microseconds: `lat` is a whole answer, `ttft` the first piece
// of a stream, `piece` the way of one piece from the mock to here (only paced pieces carry the
// time). `rps` counts what ended within -d. Exit status 1 when no answer was good.

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
    char head[4096];
} Connection;

static struct sockaddr_in address = {.sin_family = AF_INET};
static int epoll_fd, streamed, pieces_wanted = 50, last_status, sources = 1;
static char request[32768];
static size_t request_length;
static int busy_count;
static uint64_t measured_from_ns, measured_to_ns;
static unsigned long good, good_in_time, bad_status, bad_body, not_done, socket_errors, pieces;
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

static void set_busy(Connection *c, int busy) {
    busy_count += busy - c->busy;
    c->busy = busy;
}

static void disconnect(Connection *c) {
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    set_busy(c, 0);
}

// Takes one of the source addresses; which port is found when the connection is made.
static int bind_source(int fd) {
    static uint32_t turn;
    if (sources == 1)
        return 0;
    int one = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    struct sockaddr_in source = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + turn++ % (uint32_t)sources),
    };
    return bind(fd, (struct sockaddr *)&source, sizeof source);
}

static int dial(Connection *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || bind_source(c->fd) ||
        connect(c->fd, (struct sockaddr *)&address, sizeof address)) {
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
    set_busy(c, 1);
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
            if (--c->in_stamp == 0 && c->stamp_ns && c->stamp_ns >= measured_from_ns)
                record(&piece_way, now_ns() - c->stamp_ns);
            continue;
        }
        // Most bytes begin nothing.
        if (!c->in_mark && !c->in_done && byte != mark[0] && byte != done[0])
            continue;
        c->in_mark = byte == mark[c->in_mark] ? c->in_mark + 1 : byte == mark[0];
        if (c->in_mark == 8) {
            c->in_mark = 0;
            c->in_stamp = 19;
            c->stamp_ns = 0;
            pieces++;
            if (!c->marks++ && streamed && c->started_ns >= measured_from_ns)
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
    set_busy(c, 0);
    if (c->status != 200) {
        bad_status++;
        last_status = c->status;
    } else if (c->marks != (streamed ? pieces_wanted : 1)) {
        bad_body++;
    } else if (streamed && !c->done) {
        not_done++;
    } else {
        uint64_t now = now_ns();
        good++;
        good_in_time += now >= measured_from_ns && now < measured_to_ns;
        if (c->started_ns >= measured_from_ns)
            record(&latency, now - c->started_ns);
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

// ---- Requests -----------------------------------------------------------------------------------

static char *put(char *at, const char *text) {
    size_t length = strlen(text);
    memcpy(at, text, length + 1);
    return at + length;
}

// 8 KiB of a prompt as it stands in JSON: lines, quotation marks and more than ASCII.
static char *put_prompt(char *at) {
    static const char line[] =
        "The customer wrote: \\\"My order 4711 has not come, and I need it before Friday.\\\" Look "
        "up what is known about it, weigh what we may offer (a refund, a voucher of 10 \u20ac), "
        "and answer kindly.\\n";
    const char *end = at + 8192;
    while (at + sizeof line <= end)
        at = put(at, line);
    while (at < end)
        *at++ = '.';
    return at;
}

static char *put_tools(char *at) {
    static const char *names[] = {"find_order",  "search_catalog", "create_refund",
                                  "send_letter", "book_carrier",   "ask_colleague"};
    static const char rest[] =
        "\",\"description\":\"Does one thing for the customer and tells what came of it. Call it "
        "only with what the customer has said.\",\"parameters\":{\"type\":\"object\","
        "\"properties\":{\"order_id\":{\"type\":\"string\",\"description\":\"The number of the "
        "order\"},\"amount\":{\"type\":\"number\",\"minimum\":0},\"currency\":{\"type\":"
        "\"string\",\"enum\":[\"EUR\",\"USD\",\"GBP\"]},\"items\":{\"type\":\"array\",\"items\":{"
        "\"type\":\"object\",\"properties\":{\"sku\":{\"type\":\"string\"},\"count\":{\"type\":"
        "\"integer\"}},\"required\":[\"sku\"]}},\"note\":{\"type\":\"string\"}},\"required\":["
        "\"order_id\"]}}}";
    at = put(at, ",\"tools\":[");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        at = put(at, i ? ",{\"type\":\"function\",\"function\":{\"name\":\""
                       : "{\"type\":\"function\",\"function\":{\"name\":\"");
        at = put(at, names[i]);
        at = put(at, rest);
    }
    return put(at, "],\"tool_choice\":\"auto\"");
}

static void build_request(const char *to, const char *model, const char *key, int large) {
    static char body[24576];
    char *at = put(body, "{\"model\":\"");
    at = put(at, model);
    at = put(at, "\",\"messages\":[{\"role\":\"user\",\"content\":\"");
    at = large ? put_prompt(at) : put(at, "Hello");
    at = put(at, large ? "\"}],\"max_tokens\":1000" : "\"}],\"max_tokens\":10");
    if (large)
        at = put_tools(at);
    at = put(at, streamed ? ",\"stream\":true}" : "}");
    request_length = (size_t)snprintf(
        request, sizeof request,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        to, key, (size_t)(at - body), body);
    if (request_length >= sizeof request)
        abort();
}

// ---- The program --------------------------------------------------------------------------------

// Waits until `until_ns` at most for answers and takes them; with `end_ns` behind the connections
// that have become free send again.
static void wait_and_take(uint64_t until_ns, uint64_t end_ns) {
    uint64_t now = now_ns();
    struct epoll_event ready[256];
    struct timespec wait = {0, until_ns > now ? (long)(until_ns - now) : 0};
    int n = epoll_pwait2(epoll_fd, ready, 256, &wait, NULL);
    for (int i = 0; i < n; i++) {
        Connection *c = ready[i].data.ptr;
        receive(c);
        if (!c->busy && now_ns() < end_ns)
            send_request(c);
    }
}

// Keeps every connection busy until `end_ns`, then waits for what runs, for `wait_ns` at most.
static void run(Connection *all, int count, uint64_t end_ns, uint64_t wait_ns) {
    int begun = 0;
    uint64_t look_ns = 0;
    for (;;) {
        uint64_t now = now_ns();
        // Not all at once: those that have begun are to be heard meanwhile.
        for (int turn = 0; turn < 64 && begun < count && all[begun].begins_ns <= now; turn++)
            if (now < end_ns)
                send_request(&all[begun++]);
        if (now >= look_ns) { // for those that could not connect or were closed
            look_ns = now + 50000000;
            for (int i = 0; i < begun && now < end_ns; i++)
                if (!all[i].busy)
                    send_request(&all[i]);
        }
        if (now >= end_ns && (!busy_count || now >= end_ns + wait_ns))
            return;
        uint64_t next = begun < count && now < end_ns ? all[begun].begins_ns : look_ns;
        wait_and_take(next < look_ns ? next : look_ns, end_ns);
    }
}

// One request on each connection, a few at a time; then all of them stay.
static void run_idle(Connection *all, int count) {
    for (int begun = 0; begun < count || busy_count;) {
        while (begun < count && busy_count < 8)
            send_request(&all[begun++]);
        wait_and_take(now_ns() + 50000000, 0);
    }
}

static void report(const Connection *all, int count, double seconds) {
    int open = 0;
    for (int i = 0; i < count; i++)
        open += all[i].fd >= 0;
    printf("{\"good\":%lu,\"bad_status\":%lu,\"last_status\":%d,\"bad_body\":%lu,\"not_done\":%lu,"
           "\"socket_errors\":%lu,\"unfinished\":%d,\"open\":%d,\"pieces\":%lu,\"rps\":%.1f,"
           "\"samples\":%zu",
           good, bad_status, last_status, bad_body, not_done, socket_errors, busy_count, open,
           pieces, (double)good_in_time / seconds, latency.count);
    print_samples("lat", &latency);
    print_samples("ttft", &first_piece);
    print_samples("piece", &piece_way);
    printf("}\n");
    fflush(stdout);
}

static void usage(void) {
    fprintf(stderr, "usage: load -u HOST:PORT [-m MODEL] [-k KEY] [-c CONNECTIONS] [-d SECONDS] "
                    "[-b small|large] [-s] [-e PIECES] [-g MICROSECONDS] [-x SECONDS] "
                    "[-w SECONDS] [-a ADDRESSES] [-q CONNECTIONS]\n");
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

typedef struct {
    const char *to, *model, *key;
    int count, idle, large;
    double seconds, unmeasured, wait;
    uint64_t gap_ns;
} Options;

static Options parse_options(int argc, char **argv) {
    Options o = {.model = "gemini-2.5-flash", .key = "sk-vertex-bridge-dev",
                 .count = 1, .seconds = 1, .wait = 5};
    int option;
    while ((option = getopt(argc, argv, "u:m:k:c:d:b:se:g:x:w:a:q:")) != -1) {
        // clang-format off
        switch (option) {
        case 'u': o.to = optarg; break;
        case 'm': o.model = optarg; break;
        case 'k': o.key = optarg; break;
        case 'c': o.count = atoi(optarg); break;
        case 'd': o.seconds = atof(optarg); break;
        case 'b': o.large = !strcmp(optarg, "large"); break;
        case 's': streamed = 1; break;
        case 'e': pieces_wanted = atoi(optarg); break;
        case 'g': o.gap_ns = strtoul(optarg, NULL, 10) * 1000; break;
        case 'x': o.unmeasured = atof(optarg); break;
        case 'w': o.wait = atof(optarg); break;
        case 'a': sources = atoi(optarg); break;
        case 'q': o.count = atoi(optarg); o.idle = 1; break;
        default: usage();
        }
        // clang-format on
    }
    if (!o.to || strlen(o.model) > 100 || o.count < 1 || o.seconds <= 0 || sources < 1 ||
        sources > 100)
        usage();
    return o;
}

int main(int argc, char **argv) {
    Options o = parse_options(argc, argv);
    parse_address(o.to);
    build_request(o.to, o.model, o.key, o.large);
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(0);
    Connection *all = calloc((size_t)o.count, sizeof *all);
    uint64_t start = now_ns();
    measured_from_ns = start + (uint64_t)(o.unmeasured * 1e9);
    measured_to_ns = measured_from_ns + (uint64_t)(o.seconds * 1e9);
    for (int i = 0; i < o.count; i++) {
        all[i].fd = -1;
        all[i].begins_ns = start + (uint64_t)i * o.gap_ns;
    }
    if (o.idle)
        run_idle(all, o.count);
    else
        run(all, o.count, measured_to_ns, (uint64_t)(o.wait * 1e9));
    report(all, o.count, o.seconds);
    while (o.idle)
        pause();
    return good ? 0 : 1;
}
