// request.c - see request.h.

#define _GNU_SOURCE
#include "request.h"

#include "answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *request_key = "sk-vertex-bridge-dev", *request_to;

Request request_chat(const char *model, unsigned tokens, int streamed) {
    Request request = {.text = expected_length(tokens), .streamed = streamed};
    char body[512];
    int length = snprintf(body, sizeof body,
                          "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":"
                          "\"Hello\"}],\"max_tokens\":%u%s}",
                          model, tokens, streamed ? ",\"stream\":true" : "");
    request.length = (size_t)asprintf(
        &request.bytes,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
        request_to, request_key, length, body);
    return request;
}

Request request_probe(const char *path) {
    Request request = {0};
    request.length = (size_t)asprintf(
        &request.bytes, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path,
        request_to, request_key);
    return request;
}

Request *request_broken(size_t *all) {
    static const char *const heads[][2] = {
        {"POST /v1/chat/completions", "Content-Length: 9\r\n\r\n{\"model\":"},
        {"POST /v1/chat/completions", "Content-Length: 2\r\n\r\n{}"},
        {"POST /v1/chat/completions", "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}"},
        {"POST /v1/chat/completions",
         "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {"POST /v1/chat/completions", "Content-Length: -1\r\n\r\n"},
        {"POST /v1/chat/completions", "Content-Length: 99999999999\r\n\r\n{}"},
        {"POST /v1/chat/completions", "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"},
        {"POST /v1/chat/completions", "Transfer-Encoding: gzip\r\n\r\n"},
        {"POST /v1/chat/completions", "Content-Length: 500\r\n\r\n{\"model\":\"gem"},
        {"POST /v1/chat/completions", "Content-Le"},
        {"POST /v1/chat/completions",
         "Content-Length: 49\r\n\r\n{\"model\":\"nobody's\",\"messages\":[{\"role\":\"user\"}]}"},
        {"POST /v1/chat/completions",
         "Content-Length: 44\r\n\r\n{\"model\":\"gemini-2.5-flash\",\"messages\":\"Hi\"}"},
        {"GET /v1/chat/completions", "\r\n"},
        {"GET /nowhere", "\r\n"},
        {"BREW /pot", "\r\n"},
        {"POST /v1/chat/completions", " folded: x\r\n\r\n"},
        {"POST /v1/chat/completions", "bad name: x\r\n\r\n"},
    };
    static const char *const raw[] = {
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET\r\n\r\n",
        "\r\n\r\n\r\n\r\nwhat is this\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    };
    size_t count = sizeof heads / sizeof *heads, raws = sizeof raw / sizeof *raw;
    Request *broken = calloc(count + raws + 2, sizeof *broken);
    for (size_t i = 0; i < count; i++)
        broken[i].length = (size_t)asprintf(
            &broken[i].bytes,
            "%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
            "Content-Type: application/json\r\n%s",
            heads[i][0], request_to, request_key, heads[i][1]);
    for (size_t i = 0; i < raws; i++) {
        // The first one, a hello of TLS, has zeros in it.
        broken[count + i].length = i ? strlen(raw[i]) : 11;
        broken[count + i].bytes = malloc(broken[count + i].length);
        memcpy(broken[count + i].bytes, raw[i], broken[count + i].length);
    }
    // A head that is too large, and a target that is.
    char *large = malloc(70000);
    memset(large, 'a', 69999);
    large[69999] = 0;
    Request *last = &broken[count + raws];
    last[0].length = (size_t)asprintf(
        &last[0].bytes, "GET / HTTP/1.1\r\nHost: x\r\nx-large: %s\r\n\r\n", large);
    last[1].length = (size_t)asprintf(
        &last[1].bytes, "GET /%.20000s HTTP/1.1\r\nHost: x\r\n\r\n", large);
    free(large);
    *all = count + raws + 2;
    return broken;
}
