// scraper.c - asks for a gateway's metrics so many times a second over one connection.
//
//   scraper PORT TIMES_PER_SECOND
//
// In C, because it shares a core with the load generator: what it takes there is counted as the
// gateway's. SIGTERM ends it; then it prints one line of JSON: pages, and the bytes of the last one.
// Exit status 1 when a page was not whole.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static volatile sig_atomic_t ends;
static char page[4 << 20];

static void on_signal(int number) {
    ends = number;
}

static void fail(const char *what) {
    fprintf(stderr, "scraper: %s\n", what);
    exit(1);
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

// Reads one answer; the bytes of its body.
static long read_page(int fd) {
    long got = 0, whole = 0, body = 0;
    while (!whole || got < whole) {
        ssize_t more = recv(fd, page + got, sizeof page - 1 - got, 0);
        if (more <= 0)
            fail("a page is cut");
        got += more;
        page[got] = 0;
        char *end = whole ? 0 : strstr(page, "\r\n\r\n");
        if (!end)
            continue;
        char *length = strcasestr(page, "\r\ncontent-length:");
        if (strncmp(page, "HTTP/1.1 200 ", 13) || !length || length > end)
            fail("a scrape is not answered");
        body = atol(length + strlen("\r\ncontent-length:"));
        whole = end + 4 - page + body;
    }
    if (got != whole || memcmp(page + got - 6, "# EOF\n", 6))
        fail("a page without its end");
    return body;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: scraper PORT TIMES_PER_SECOND\n");
        return 2;
    }
    static const char question[] = "GET /metrics/prometheus HTTP/1.1\r\nhost: bench\r\n"
                                   "accept: application/openmetrics-text;version=1.0.0\r\n\r\n";
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("the gateway does not listen");
    long long due = now(), pages = 0;
    long bytes = 0;
    for (; !ends; pages++) {
        if (send(fd, question, sizeof question - 1, 0) != sizeof question - 1)
            fail("a scrape is not sent");
        bytes = read_page(fd);
        due += SECOND / atoi(argv[2]);
        struct timespec until = {due / SECOND, due % SECOND};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0);
    }
    printf("{\"pages\": %lld, \"bytes\": %ld}\n", pages, bytes);
    return 0;
}
