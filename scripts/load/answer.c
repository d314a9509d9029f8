// answer.c - see answer.h.

#define _GNU_SOURCE
#include "answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

char expected_text[TOKENS_MAX * 11];

size_t expected_length(unsigned tokens) {
    static const char *const words[] = {"Hello",  " from", " the",      " simulator", ",",
                                        " which", " speaks", " the", " vendor's", " wire",
                                        " format", "."};
    size_t length = 0;
    for (unsigned i = 0; i < tokens && i < TOKENS_MAX; i++) {
        const char *word = words[i % 12];
        memcpy(expected_text + length, word, strlen(word));
        length += strlen(word);
    }
    return length;
}

static void append(Text *text, const char *bytes, size_t length) {
    if (text->length + length + 1 > text->room) {
        text->room = (text->length + length + 1) * 2;
        text->at = realloc(text->at, text->room);
        if (!text->at)
            abort();
    }
    memcpy(text->at + text->length, bytes, length);
    text->length += length;
    text->at[text->length] = 0;
}

void answer_begin(Answer *a) {
    Text head = a->head, body = a->body;
    // Few answers are large: what one of them took is not kept for all.
    if (body.room > 65536) {
        free(body.at);
        body = (Text){0};
    }
    memset(a, 0, sizeof *a);
    head.length = body.length = 0;
    a->head = head;
    a->body = body;
}

void answer_free(Answer *a) {
    free(a->head.at);
    free(a->body.at);
    memset(a, 0, sizeof *a);
}

// ---- What was said ------------------------------------------------------------------------------

// The value behind a key of JSON that stands at one place only; spaces may be between.
static const char *value_of(const char *json, const char *key) {
    const char *at = strstr(json, key);
    if (!at)
        return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    if (*at != ':')
        return NULL;
    return at + 1 + strspn(at + 1, " ");
}

// Holds a piece of text against what is expected; the simulator's words need no escapes.
static void look_at_text(Answer *a, const char *json) {
    const char *value = value_of(json, "\"content\"");
    if (!value || *value != '"' || value[1] == '"')
        return;
    const char *end = strchr(++value, '"');
    size_t length = end ? (size_t)(end - value) : strlen(value);
    a->pieces++;
    a->text_after_end |= a->done || a->error_event;
    if (!end || a->said + length >= sizeof expected_text ||
        memcmp(expected_text + a->said, value, length))
        a->wrong_text = 1;
    a->said += length;
}

// A model that will not answer may say so in a field of its own.
static void look_at_refusal(Answer *a, const char *json) {
    const char *value = value_of(json, "\"refusal\"");
    a->filtered |= value && *value == '"';
}

static void look_at_finish(Answer *a, const char *json) {
    const char *value = value_of(json, "\"finish_reason\"");
    if (!value || *value != '"')
        return;
    a->finished = 1;
    a->filtered |= !strncmp(value, "\"content_filter\"", 16);
}

static void look_at_line(Answer *a, const char *line) {
    if (strncmp(line, "data:", 5))
        return; // a comment, or the empty line behind an event
    line += 5;
    line += strspn(line, " ");
    if (!strcmp(line, "[DONE]")) {
        a->text_after_end |= a->done || a->error_event;
        a->done = 1;
    } else if (!strncmp(line, "{\"error\"", 8)) {
        a->error_event = 1;
    } else {
        look_at_text(a, line);
        look_at_refusal(a, line);
        look_at_finish(a, line);
    }
}

void answer_look(Answer *a) {
    if (a->streamed || !a->body.at)
        return;
    look_at_text(a, a->body.at);
    look_at_refusal(a, a->body.at);
    look_at_finish(a, a->body.at);
}

int answer_is_error(const Answer *a) {
    const char *body = a->body.at;
    if (!body || !a->body.length)
        return 0;
    return value_of(body, "\"error\"") && value_of(body, "\"message\"") &&
           value_of(body, "\"type\"") && strchr("}\n", body[a->body.length - 1]);
}

static void take_body(Answer *a, const char *bytes, size_t length) {
    append(&a->body, bytes, length);
    if (!a->streamed)
        return;
    char *begin = a->body.at, *end;
    while ((end = strchr(begin, '\n'))) {
        *end = 0;
        if (end > begin && end[-1] == '\r')
            end[-1] = 0;
        look_at_line(a, begin);
        begin = end + 1;
    }
    a->body.length -= (size_t)(begin - a->body.at);
    memmove(a->body.at, begin, a->body.length + 1);
}

// ---- Framing ------------------------------------------------------------------------------------

static const char *field(const char *head, const char *name) {
    const char *at = strcasestr(head, name);
    if (!at)
        return NULL;
    at += strlen(name);
    return at + strspn(at, " ");
}

static void read_head(Answer *a) {
    const char *head = a->head.at, *value;
    a->status = a->head.length > 12 ? atoi(head + 9) : 0;
    value = field(head, "\r\nconnection:");
    a->closes = value && !strncasecmp(value, "close", 5);
    value = field(head, "\r\ncontent-type:");
    a->streamed = value && !strncasecmp(value, "text/event-stream", 17);
    a->retry_after = field(head, "\r\nretry-after:") != NULL;
    value = field(head, "\r\nserver-timing:");
    value = value ? field(value, "queue;dur=") : NULL;
    a->queue_ms = value ? strtof(value, NULL) : 0;
    a->left = 0;
    if ((value = field(head, "\r\ntransfer-encoding:"))) {
        a->place = CHUNK_SIZE;
    } else if ((value = field(head, "\r\ncontent-length:"))) {
        a->left = strtoull(value, NULL, 10);
        a->place = a->left ? FIXED_BODY : ENDED;
    } else {
        a->place = UNTIL_CLOSE;
        a->closes = 1;
    }
}

// Takes bytes of a head; how many of them.
static size_t take_head(Answer *a, const char *bytes, size_t length) {
    size_t before = a->head.length;
    append(&a->head, bytes, length);
    char *end = strstr(a->head.at + (before > 3 ? before - 3 : 0), "\r\n\r\n");
    if (!end)
        return length;
    size_t used = (size_t)(end + 4 - a->head.at) - before;
    end[2] = 0;
    a->head.length = (size_t)(end + 2 - a->head.at);
    read_head(a);
    if (a->status == 100) {
        a->head.length = 0;
        a->place = HEAD;
    }
    return used;
}

static void take_chunk_size(Answer *a, char byte) {
    if (byte == '\n') {
        a->line_has_text = 0;
        a->place = a->left ? CHUNK_DATA : TRAILER;
    } else if (byte >= '0' && byte <= '9') {
        a->left = a->left * 16 + (uint64_t)(byte - '0');
    } else if ((byte | 32) >= 'a' && (byte | 32) <= 'f') {
        a->left = a->left * 16 + (uint64_t)((byte | 32) - 'a' + 10);
    } else if (byte == ';') {
        a->place = CHUNK_EXTENSION;
    } else if (byte != '\r') {
        a->broken_frame = 1;
    }
}

static void take_framing(Answer *a, char byte) {
    switch (a->place) {
    case CHUNK_SIZE:
        take_chunk_size(a, byte);
        break;
    case CHUNK_EXTENSION:
        if (byte == '\n')
            take_chunk_size(a, byte);
        break;
    case CHUNK_END:
        a->broken_frame |= byte != '\r' && byte != '\n';
        if (byte == '\n') {
            a->place = CHUNK_SIZE;
            a->left = 0;
        }
        break;
    default: // TRAILER
        if (byte == '\n' && !a->line_has_text)
            a->place = ENDED;
        else if (byte != '\r')
            a->line_has_text = byte != '\n';
    }
}

size_t answer_take(Answer *a, const char *bytes, size_t length) {
    size_t all = length;
    while (length && a->place != ENDED) {
        size_t used = 1;
        if (a->place == HEAD) {
            used = take_head(a, bytes, length);
        } else if (a->place == UNTIL_CLOSE) {
            used = length;
            take_body(a, bytes, used);
        } else if (a->place == FIXED_BODY || a->place == CHUNK_DATA) {
            used = length < a->left ? length : a->left;
            take_body(a, bytes, used);
            a->left -= used;
            if (!a->left)
                a->place = a->place == FIXED_BODY ? ENDED : CHUNK_END;
        } else {
            take_framing(a, *bytes);
        }
        bytes += used;
        length -= used;
    }
    a->bytes += all - length;
    return all - length;
}
