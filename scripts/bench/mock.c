// mock.c - a fixed upstream for measurements: one thread, epoll, the answers of three vendors.
//
//   mock PORT [PIECES [INTERVAL_US]]        listens on 127.0.0.1:PORT
//
//   POST .../chat/completions               OpenAI: JSON, or SSE when the body has "stream":true
//   POST ...:generateContent                Gemini, JSON
//   POST ...:streamGenerateContent          Gemini, SSE with CRLF
//   POST .../messages                       Anthropic: JSON or SSE
//   anything else                           {"json":N,"sse":N,"other":N,"connections":N, ...}
//
// The JSON has a line of text, or 2 KiB of it when the request's body is larger than 4 KiB. A
// stream has PIECES pieces (default 50) and leaves in one write, unless "-paced" stands in the
// path or the body: then one piece is written every INTERVAL_US (default 20000). Every piece
// carries "mocktok:" and 19 digits, the monotonic clock in nanoseconds at which it was written
// (zeros when not paced), so that the load generator can count pieces and time them.
//
// It answers valid requests of the programs that are measured here and checks nothing.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
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

#define TOKEN "mocktok:0000000000000000000 "
#define REPLY TOKEN "Hello! How can I help you today?"
#define LARGE_REQUEST 4096
#define LARGE_REPLY 2048

enum { OPENAI, GEMINI, ANTHROPIC, VENDORS };

typedef struct {
    char *bytes;
    size_t length, capacity;
} Buffer;

// One HTTP chunk of a stream; `stamp` is the offset of the 19 digits, or -1.
typedef struct {
    Buffer bytes;
    int stamp;
} Event;

typedef struct {
    Event *events;
    int count;
    Buffer whole; // head, all chunks and the last chunk
} Stream;

typedef struct Connection Connection;
struct Connection {
    int fd, closing, dead, waits_for_write;
    Buffer in, out;
    size_t written; // of `out`
    Stream *stream; // the paced stream that is being written, or NULL
    int next_event;
    uint64_t due_ns;
    int queued;
    Connection *next_in_queue;
};

static const char JSON_HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                "Content-Length: ";
static const char SSE_HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

// Forms with the place of the text.
static const char *JSON_BODY[VENDORS] = {
    "{\"id\":\"chatcmpl-mock000000000000000000000\",\"object\":\"chat.completion\","
    "\"created\":1700000000,\"model\":\"gemini-2.5-flash\",\"choices\":[{\"index\":0,\"message\":"
    "{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":10,"
    "\"total_tokens\":19},\"system_fingerprint\":\"fp_mock\",\"service_tier\":\"default\"}",

    "{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"%s\"}],\"role\": \"model\"},"
    "\"finishReason\": \"STOP\",\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 9,"
    "\"candidatesTokenCount\": 10,\"totalTokenCount\": 19,\"promptTokensDetails\": "
    "[{\"modality\": \"TEXT\",\"tokenCount\": 9}]},\"modelVersion\": \"gemini-2.5-flash\","
    "\"responseId\": \"mock000000000000000000\"}",

    "{\"id\":\"msg_mock0000000000000000\",\"type\":\"message\",\"role\":\"assistant\","
    "\"model\":\"claude-sonnet-4\",\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],"
    "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,"
    "\"output_tokens\":10}}",
};

static int epoll_fd, pieces = 50;
static uint64_t interval_ns = 20000000;
static Buffer json_answers[VENDORS], large_answers[VENDORS];
static Stream streams[VENDORS];
// Paced connections in the order in which they are due; the interval is the same for all.
static Connection *queue_head, *queue_tail;
static unsigned long json_count, sse_count, other_count, connections, aborted;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void append(Buffer *buffer, const void *bytes, size_t length) {
    if (buffer->length + length > buffer->capacity) {
        buffer->capacity = (buffer->length + length) * 2;
        buffer->bytes = realloc(buffer->bytes, buffer->capacity);
        if (!buffer->bytes)
            abort();
    }
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
}

static void append_text(Buffer *buffer, const char *text) {
    append(buffer, text, strlen(text));
}

// ---- The answers, built once --------------------------------------------------------------------

static void add_event(Stream *stream, const char *text) {
    stream->events = realloc(stream->events, (size_t)(stream->count + 1) * sizeof(Event));
    Event *event = &stream->events[stream->count++];
    memset(event, 0, sizeof *event);
    char size[24];
    snprintf(size, sizeof size, "%zx\r\n", strlen(text));
    append_text(&event->bytes, size);
    append_text(&event->bytes, text);
    append_text(&event->bytes, "\r\n");
    char *mark = memmem(event->bytes.bytes, event->bytes.length, "mocktok:", 8);
    event->stamp = mark ? (int)(mark - event->bytes.bytes) + 8 : -1;
}

static void build_openai(Stream *stream) {
    static const char form[] =
        "data: {\"id\":\"chatcmpl-mock000000000000000000000\",\"object\":\"chat.completion.chunk\","
        "\"created\":1700000000,\"model\":\"gemini-2.5-flash\",\"choices\":[{\"index\":0,"
        "\"delta\":%s,\"finish_reason\":%s}]}\n\n";
    char text[1024];
    for (int i = 0; i < pieces; i++) {
        const char *delta = i ? "{\"content\":\"" TOKEN "\"}"
                              : "{\"role\":\"assistant\",\"content\":\"" TOKEN "\"}";
        snprintf(text, sizeof text, form, delta, "null");
        add_event(stream, text);
    }
    snprintf(text, sizeof text, form, "{}", "\"stop\"");
    add_event(stream, text);
    add_event(stream, "data: [DONE]\n\n");
}

static void build_gemini(Stream *stream) {
    char text[1024];
    for (int i = 0; i < pieces; i++) {
        snprintf(text, sizeof text,
                 "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"" TOKEN "\"}],"
                 "\"role\": \"model\"},%s\"index\": 0}],\"usageMetadata\": "
                 "{\"promptTokenCount\": 9,\"candidatesTokenCount\": %d,\"totalTokenCount\": %d,"
                 "\"promptTokensDetails\": [{\"modality\": \"TEXT\",\"tokenCount\": 9}]},"
                 "\"modelVersion\": \"gemini-2.5-flash\","
                 "\"responseId\": \"mock000000000000000000\"}\r\n\r\n",
                 i == pieces - 1 ? "\"finishReason\": \"STOP\"," : "", i + 1, i + 10);
        add_event(stream, text);
    }
}

static void build_anthropic(Stream *stream) {
    add_event(stream, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{"
                      "\"id\":\"msg_mock0000000000000000\",\"type\":\"message\","
                      "\"role\":\"assistant\",\"model\":\"claude-sonnet-4\",\"content\":[],"
                      "\"stop_reason\":null,\"stop_sequence\":null,"
                      "\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n");
    add_event(stream, "event: content_block_start\ndata: {\"type\":\"content_block_start\","
                      "\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
    for (int i = 0; i < pieces; i++)
        add_event(stream, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
                          "\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" TOKEN
                          "\"}}\n\n");
    add_event(stream, "event: content_block_stop\n"
                      "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n");
    add_event(stream, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
                      "\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
                      "\"usage\":{\"output_tokens\":50}}\n\n");
    add_event(stream, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

// 2 KiB as they stand in JSON: paragraphs, quotation marks and more than ASCII.
static const char *large_reply(void) {
    static const char line[] =
        "Your order \\\"4711\\\" left our house on Tuesday and is with the carrier. It will be "
        "with you on Thursday; if not, we give you back 10 \u20ac, or a voucher as you like.\\n\\n";
    static char text[LARGE_REPLY + 1] = TOKEN;
    size_t at = strlen(TOKEN);
    for (; at + strlen(line) <= LARGE_REPLY; at += strlen(line))
        memcpy(text + at, line, strlen(line));
    memset(text + at, '.', LARGE_REPLY - at);
    return text;
}

static void build_json(Buffer *answer, int vendor, const char *reply) {
    char body[LARGE_REPLY + 1024], length[32];
    snprintf(body, sizeof body, JSON_BODY[vendor], reply);
    snprintf(length, sizeof length, "%zu\r\n\r\n", strlen(body));
    append_text(answer, JSON_HEAD);
    append_text(answer, length);
    append_text(answer, body);
}

static void build_answers(void) {
    build_openai(&streams[OPENAI]);
    build_gemini(&streams[GEMINI]);
    build_anthropic(&streams[ANTHROPIC]);
    for (int vendor = 0; vendor < VENDORS; vendor++) {
        Stream *stream = &streams[vendor];
        append_text(&stream->whole, SSE_HEAD);
        for (int i = 0; i < stream->count; i++)
            append(&stream->whole, stream->events[i].bytes.bytes, stream->events[i].bytes.length);
        append_text(&stream->whole, "0\r\n\r\n");

        build_json(&json_answers[vendor], vendor, REPLY);
        build_json(&large_answers[vendor], vendor, large_reply());
    }
}

// ---- Connections --------------------------------------------------------------------------------

static void close_connection(Connection *c) {
    if (c->dead)
        return;
    if (c->stream)
        aborted++;
    c->dead = 1;
    close(c->fd);
    free(c->in.bytes);
    free(c->out.bytes);
    c->in.bytes = c->out.bytes = NULL;
    connections--;
    if (!c->queued) // else the queue frees it when its turn comes
        free(c);
}

static void watch(Connection *c, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

// Writes what is there; 0 when the connection is gone.
static int flush_out(Connection *c) {
    while (c->written < c->out.length) {
        ssize_t n = send(c->fd, c->out.bytes + c->written, c->out.length - c->written,
                         MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            close_connection(c);
            return 0;
        }
        if (n < 0) {
            if (!c->waits_for_write)
                watch(c, EPOLLIN | EPOLLOUT);
            c->waits_for_write = 1;
            return 1;
        }
        c->written += (size_t)n;
    }
    c->out.length = c->written = 0;
    if (c->waits_for_write)
        watch(c, EPOLLIN);
    c->waits_for_write = 0;
    if (c->closing && !c->stream) {
        close_connection(c);
        return 0;
    }
    return 1;
}

static void enqueue(Connection *c) {
    c->next_in_queue = NULL;
    c->queued = 1;
    if (queue_tail)
        queue_tail->next_in_queue = c;
    else
        queue_head = c;
    queue_tail = c;
}

// Puts the next event of a paced stream into the output.
static void emit(Connection *c) {
    Event *event = &c->stream->events[c->next_event++];
    size_t at = c->out.length;
    append(&c->out, event->bytes.bytes, event->bytes.length);
    if (event->stamp >= 0) {
        char digits[24];
        snprintf(digits, sizeof digits, "%019llu", (unsigned long long)now_ns());
        memcpy(c->out.bytes + at + event->stamp, digits, 19);
    }
    if (c->next_event == c->stream->count) {
        append_text(&c->out, "0\r\n\r\n");
        c->stream = NULL;
    }
}

// ---- Requests -----------------------------------------------------------------------------------

typedef struct {
    const char *head, *head_end; // the head with its blank line
    const char *path, *path_end; // without a query
    const char *body;
    size_t body_length;
} Request;

// The value of the field `name`, written as "\r\nname:" in lower case.
static const char *field(const Request *r, const char *name) {
    size_t length = strlen(name);
    for (const char *at = r->head; at + length < r->head_end; at++) {
        if (*at == '\r' && !strncasecmp(at, name, length)) {
            at += length;
            while (*at == ' ')
                at++;
            return at;
        }
    }
    return NULL;
}

// Bytes of a chunked body that begins at `at`, or 0 when it is not complete yet.
static size_t chunked_length(const char *at, const char *end) {
    const char *start = at;
    for (;;) {
        const char *line_end = at < end ? memmem(at, (size_t)(end - at), "\r\n", 2) : NULL;
        if (!line_end)
            return 0;
        size_t size = strtoul(at, NULL, 16);
        if ((size_t)(end - line_end - 2) < size + 2)
            return 0;
        at = line_end + 2 + size + 2;
        if (size == 0)
            return (size_t)(at - start);
    }
}

// Reads the request at the start of the input; its length, or 0 when it is not complete yet.
static size_t parse(const char *in, size_t length, Request *r) {
    const char *blank = length ? memmem(in, length, "\r\n\r\n", 4) : NULL;
    if (!blank)
        return 0;
    r->head = in;
    r->head_end = r->body = blank + 4;
    r->body_length = 0;
    size_t here = (size_t)(in + length - r->body);
    const char *value;
    if ((value = field(r, "\r\ncontent-length:"))) {
        r->body_length = strtoul(value, NULL, 10);
        if (here < r->body_length)
            return 0;
    } else if ((value = field(r, "\r\ntransfer-encoding:"))) {
        // The framing stays in: the body is only searched for a word.
        r->body_length = chunked_length(r->body, in + length);
        if (!r->body_length)
            return 0;
    }
    const char *space = memchr(in, ' ', (size_t)(blank - in));
    r->path = space ? space + 1 : in;
    r->path_end = r->path + strcspn(r->path, " ?\r");
    return (size_t)(r->body + r->body_length - in);
}

static int ends_with(const Request *r, const char *text) {
    size_t length = strlen(text);
    return (size_t)(r->path_end - r->path) >= length && !memcmp(r->path_end - length, text, length);
}

static int asks_for_stream(const Request *r) {
    const char *at = r->body_length ? memmem(r->body, r->body_length, "\"stream\"", 8) : NULL;
    if (!at)
        return 0;
    at += 8;
    at += strspn(at, " :");
    return *at == 't';
}

static int asks_for_pace(const Request *r) {
    return memmem(r->path, (size_t)(r->path_end - r->path), "-paced", 6) ||
           (r->body_length && memmem(r->body, r->body_length, "-paced", 6));
}

static void answer_stream(Connection *c, Stream *stream, int paced) {
    sse_count++;
    if (!paced || !interval_ns) {
        append(&c->out, stream->whole.bytes, stream->whole.length);
        return;
    }
    append_text(&c->out, SSE_HEAD);
    c->stream = stream;
    c->next_event = 0;
    emit(c);
    if (c->stream) {
        c->due_ns = now_ns() + interval_ns;
        if (!c->queued)
            enqueue(c);
    }
}

static void answer(Connection *c, const Request *r) {
    int vendor = -1, stream = 0;
    if (ends_with(r, "/chat/completions")) {
        vendor = OPENAI;
        stream = asks_for_stream(r);
    } else if (ends_with(r, ":generateContent")) {
        vendor = GEMINI;
    } else if (ends_with(r, ":streamGenerateContent")) {
        vendor = GEMINI;
        stream = 1;
    } else if (ends_with(r, "/messages")) {
        vendor = ANTHROPIC;
        stream = asks_for_stream(r);
    }
    if (vendor >= 0 && stream) {
        answer_stream(c, &streams[vendor], asks_for_pace(r));
    } else if (vendor >= 0) {
        Buffer *whole = r->body_length > LARGE_REQUEST ? large_answers : json_answers;
        json_count++;
        append(&c->out, whole[vendor].bytes, whole[vendor].length);
    } else {
        other_count++;
        char body[256], whole[512];
        snprintf(body, sizeof body,
                 "{\"json\":%lu,\"sse\":%lu,\"other\":%lu,\"connections\":%lu,\"aborted\":%lu}",
                 json_count, sse_count, other_count, connections, aborted);
        snprintf(whole, sizeof whole, "%s%zu\r\n\r\n%s", JSON_HEAD, strlen(body), body);
        append_text(&c->out, whole);
    }
}

// Answers every complete request of the input, one stream at a time.
static void serve(Connection *c) {
    size_t used = 0;
    while (!c->stream) {
        Request r;
        size_t length = parse(c->in.bytes + used, c->in.length - used, &r);
        if (!length)
            break;
        const char *value = field(&r, "\r\nconnection:");
        if (value && !strncasecmp(value, "close", 5))
            c->closing = 1;
        answer(c, &r);
        used += length;
    }
    memmove(c->in.bytes, c->in.bytes + used, c->in.length - used);
    c->in.length -= used;
    flush_out(c);
}

// ---- The loop -----------------------------------------------------------------------------------

static void accept_all(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        connections++;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void receive(Connection *c) {
    // One byte stays free, so that strtoul and strspn always meet an end.
    if (c->in.capacity - c->in.length < 16385) {
        c->in.capacity = c->in.length + 32768;
        c->in.bytes = realloc(c->in.bytes, c->in.capacity);
    }
    ssize_t n = recv(c->fd, c->in.bytes + c->in.length, c->in.capacity - c->in.length - 1, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        close_connection(c);
    } else if (n > 0) {
        c->in.length += (size_t)n;
        c->in.bytes[c->in.length] = 0;
        serve(c);
    }
}

// Writes every piece that is due; the time of the next one, or UINT64_MAX.
static uint64_t write_due(void) {
    uint64_t now = now_ns();
    Connection *c;
    while ((c = queue_head) && (c->dead || c->due_ns <= now)) {
        queue_head = c->next_in_queue;
        if (!queue_head)
            queue_tail = NULL;
        c->queued = 0;
        if (c->dead) {
            free(c);
            continue;
        }
        emit(c);
        int ended = !c->stream;
        if (!ended) {
            c->due_ns += interval_ns;
            if (c->due_ns < now) // late: no burst to catch up
                c->due_ns = now;
            enqueue(c);
        }
        if (flush_out(c) && ended)
            serve(c);
    }
    return queue_head ? queue_head->due_ns : UINT64_MAX;
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        perror("mock: listen");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: mock PORT [PIECES [INTERVAL_US]]\n");
        return 2;
    }
    if (argc > 2)
        pieces = atoi(argv[2]);
    if (argc > 3)
        interval_ns = strtoul(argv[3], NULL, 10) * 1000;
    signal(SIGPIPE, SIG_IGN);
    build_answers();
    int listener = listen_on(atoi(argv[1]));
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        uint64_t next = write_due(), now = now_ns();
        struct timespec wait = {0, 0};
        if (next != UINT64_MAX && next > now) {
            wait.tv_sec = (time_t)((next - now) / 1000000000);
            wait.tv_nsec = (long)((next - now) % 1000000000);
        }
        struct epoll_event ready[512];
        int n = epoll_pwait2(epoll_fd, ready, 512, next == UINT64_MAX ? NULL : &wait, NULL);
        for (int i = 0; i < n; i++) {
            Connection *c = ready[i].data.ptr;
            if (!c) {
                accept_all(listener);
                continue;
            }
            if ((ready[i].events & EPOLLOUT) && !flush_out(c))
                continue;
            if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(c);
        }
    }
}
