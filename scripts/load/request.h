// request.h - what is asked.

#ifndef REQUEST_H
#define REQUEST_H

#include <stddef.h>

typedef struct {
    char *bytes;
    size_t length;
    size_t text; // how much of the expected text its answer has
    int streamed;
} Request;

// Where to, and the client's key; to be set before the others are called.
extern const char *request_to, *request_key;

Request request_chat(const char *model, unsigned tokens, int streamed);
Request request_probe(const char *path);
// Requests that must be refused, or hung up on; some have no end.
Request *request_broken(size_t *all);

#endif
