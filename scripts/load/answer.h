// answer.h - takes an answer apart as it comes: HTTP framing, then what was said in it.

#ifndef ANSWER_H
#define ANSWER_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *at;
    size_t length, room;
} Text;

// Where the next byte belongs.
typedef enum {
    HEAD,
    FIXED_BODY,
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_DATA,
    CHUNK_END,
    TRAILER,
    UNTIL_CLOSE,
    ENDED,
} Place;

typedef struct {
    Place place;
    uint64_t left; // bytes of a body or chunk
    uint64_t bytes;
    int status, closes, streamed;
    int broken_frame, line_has_text;
    float queue_ms;  // what `server-timing` says
    int retry_after; // there is one
    Text head, body; // of a stream the body is the line that has not ended
    // What was said:
    size_t said;      // bytes of the expected text
    unsigned pieces;  // of text
    int wrong_text, text_after_end;
    int finished, filtered, done, error_event;
} Answer;

// Before the next answer; keeps the memory.
void answer_begin(Answer *a);
// How many of the bytes belong to this answer; stops at its end (`place` is ENDED).
size_t answer_take(Answer *a, const char *bytes, size_t length);
// Looks into a body that is not streamed, once it has ended.
void answer_look(Answer *a);
// Is the body an error as OpenAI writes it?
int answer_is_error(const Answer *a);
void answer_free(Answer *a);

// The simulator's words over and over.
extern char expected_text[];
// Makes them; the length of the first `tokens` of them.
size_t expected_length(unsigned tokens);
#define TOKENS_MAX 20000

#endif
