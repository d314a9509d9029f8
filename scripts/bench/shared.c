// shared.c - what it costs when two cores touch the same memory: two threads, each on its core.
//
//   shared CORE OTHER_CORE [ROUNDS]
//
// Prints one line of JSON; all times are nanoseconds of the first core, medians over the rounds:
//
//   alone   the line is in the core's own cache already
//   moved   the other core has written it last, so that it comes from there
//   both    both cores do nothing else on one line: time for each operation of either
//
// of a plain load, a plain store, an atomic addition, a compare-and-swap behind a load (as a rate
// limit moves its word), and taking and giving back a mutex (at its first touch it is free). For
// `moved` the other core writes many lines, then this one visits them in an order that no
// prefetcher knows, each visit after the one before. `eventfd_ns` is a write to an eventfd that
// nobody waits for. `neighbour` is how much longer work on private memory takes while the other
// core works on its own: hyper-threads and shared caches show here, and nothing of the program.
//
// A round that the scheduler interrupts is an outlier, which a median does not see.

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { LINES = 256, HAMMERED = 100000, MOST_ROUNDS = 1000, PRIVATE = 1 << 15, STEPS = 1 << 18 };

typedef enum { LOAD, STORE, ADD, CAS, MUTEX, OPERATIONS } Operation;
static const char *NAMES[OPERATIONS] = {"load", "store", "add", "cas", "mutex"};

// Lines come in pairs, and the second one of a pair may be fetched with the first.
typedef struct {
    _Alignas(128) _Atomic uint64_t word;
    pthread_mutex_t mutex;
} Line;

static Line lines[LINES];
static uint32_t order[LINES];
static volatile uint64_t zero; // the compiler does not know that it is
static sem_t go, ready;
static enum { WRITE, HAMMER, WORK, END } job;
static Operation hammered;
static atomic_int at_the_line, enough;

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof set, &set)) {
        perror("shared: sched_setaffinity");
        exit(1);
    }
}

static uint64_t touch(Operation operation, Line *line) {
    uint64_t seen;
    switch (operation) {
    case LOAD:
        return atomic_load_explicit(&line->word, memory_order_relaxed);
    case STORE:
        atomic_store_explicit(&line->word, 1, memory_order_relaxed);
        return 0;
    case ADD:
        return atomic_fetch_add_explicit(&line->word, 1, memory_order_relaxed);
    case CAS:
        seen = atomic_load_explicit(&line->word, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(&line->word, &seen, seen + 1,
                                                      memory_order_relaxed, memory_order_relaxed))
            ;
        return seen;
    default:
        pthread_mutex_lock(&line->mutex);
        seen = atomic_load_explicit(&line->word, memory_order_relaxed);
        pthread_mutex_unlock(&line->mutex);
        return seen;
    }
}

// Each visit waits for what the one before has read.
static double visit_all(Operation operation) {
    uint64_t seen = 0, nothing = zero;
    double start = now_ns();
    for (int i = 0; i < LINES; i++)
        seen = touch(operation, &lines[order[i] + (seen & nothing)]);
    // Stores are over when they are seen by others.
    atomic_thread_fence(memory_order_seq_cst);
    return (now_ns() - start) / LINES;
}

// When both are there they begin; how long this one took.
static double hammer(Operation operation) {
    atomic_fetch_add(&at_the_line, 1);
    while (atomic_load(&at_the_line) % 2)
        ;
    double start = now_ns();
    for (int i = 0; i < HAMMERED; i++)
        touch(operation, &lines[0]);
    return now_ns() - start;
}

// Work that shares nothing: a walk over 256 KiB and some arithmetic.
static double work(uint64_t *own, const atomic_int *stop) {
    uint64_t at = 1, sum = 0;
    double start = now_ns();
    do {
        for (int i = 0; i < STEPS; i++) {
            at = at * 6364136223846793005u + 1442695040888963407u;
            sum += own[(at >> 33) % PRIVATE] ^ (sum >> 7);
        }
    } while (stop && !atomic_load(stop));
    own[0] = sum;
    return now_ns() - start;
}

static void *other(void *core) {
    static uint64_t own[PRIVATE];
    pin(*(int *)core);
    for (;;) {
        sem_wait(&go);
        switch (job) {
        case WRITE:
            for (int i = 0; i < LINES; i++) {
                touch(MUTEX, &lines[i]);
                touch(ADD, &lines[i]);
            }
            break;
        case HAMMER:
            hammer(hammered);
            break;
        case WORK:
            work(own, &enough);
            break;
        case END:
            return NULL;
        }
        sem_post(&ready);
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *of, int count) {
    qsort(of, (size_t)count, sizeof *of, by_value);
    return of[count / 2];
}

static void measure(Operation operation, int rounds) {
    static double alone[MOST_ROUNDS], moved[MOST_ROUNDS], both[MOST_ROUNDS];
    for (int i = 0; i < rounds; i++) {
        job = WRITE;
        sem_post(&go);
        sem_wait(&ready);
        moved[i] = visit_all(operation);
        alone[i] = visit_all(operation);
    }
    int hammerings = rounds / 10 + 1;
    for (int i = 0; i < hammerings; i++) {
        job = HAMMER;
        hammered = operation;
        sem_post(&go);
        both[i] = hammer(operation) / (2.0 * HAMMERED);
        sem_wait(&ready);
    }
    printf("\"%s\":{\"alone\":%.2f,\"moved\":%.2f,\"both\":%.2f},", NAMES[operation],
           median(alone, rounds), median(moved, rounds), median(both, hammerings));
}

static double neighbour(int rounds) {
    static double quiet[MOST_ROUNDS], busy[MOST_ROUNDS];
    static uint64_t own[PRIVATE];
    for (int i = 0; i < rounds; i++) {
        quiet[i] = work(own, NULL);
        job = WORK;
        atomic_store(&enough, 0);
        sem_post(&go);
        busy[i] = work(own, NULL);
        atomic_store(&enough, 1);
        sem_wait(&ready);
    }
    return median(busy, rounds) / median(quiet, rounds);
}

static double eventfd_ns(int rounds) {
    static double each[MOST_ROUNDS];
    int fd = eventfd(0, EFD_NONBLOCK);
    uint64_t one = 1;
    for (int i = 0; i < rounds; i++) {
        double start = now_ns();
        for (int turn = 0; turn < 100; turn++)
            if (write(fd, &one, sizeof one) != sizeof one)
                abort();
        each[i] = (now_ns() - start) / 100;
    }
    close(fd);
    return median(each, rounds);
}

int main(int argc, char **argv) {
    int rounds = argc > 3 ? atoi(argv[3]) : 200;
    if (argc < 3 || argc > 4 || rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: shared CORE OTHER_CORE [ROUNDS]\n");
        return 2;
    }
    int second = atoi(argv[2]);
    pin(atoi(argv[1]));
    srand(1);
    for (int i = 0; i < LINES; i++) {
        pthread_mutex_init(&lines[i].mutex, NULL);
        int at = rand() % (i + 1);
        order[i] = order[at];
        order[at] = (uint32_t)i;
    }
    sem_init(&go, 0, 0);
    sem_init(&ready, 0, 0);
    pthread_t thread;
    if (pthread_create(&thread, NULL, other, &second))
        return 1;
    printf("{");
    for (Operation operation = LOAD; operation < OPERATIONS; operation++)
        measure(operation, rounds);
    printf("\"eventfd_ns\":%.1f,\"neighbour\":%.4f}\n", eventfd_ns(rounds), neighbour(rounds));
    job = END;
    sem_post(&go);
    pthread_join(thread, NULL);
    return 0;
}
