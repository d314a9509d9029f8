// steps.c - runs a program and counts the instructions that one of its threads executes, one by
// one, on the processor as it is: with its instructions for SHA-256, which callgrind's processor
// does not have.
//
//   steps THREAD FOLDER PROGRAM [ARGUMENT...]
//
// SIGUSR1 begins to count what the thread of this name does, and FOLDER/begun is there when it has
// begun; SIGUSR2 ends it. Then FOLDER/steps has a line for each instruction of the program that was
// executed: its place in the program's image and how often it was, both in decimal. What other
// libraries and the kernel's page do counts at place 0; the kernel's own part is not seen.
// FOLDER/calls has a line for each place of a function that FOLDER/watched names: the place, how
// often it was called, and what that took with all that it called. SIGTERM is handed on.

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHED_MAX 16

static volatile sig_atomic_t begins, ends, leaves;
static const char *folder;
static unsigned long long base, size;
static unsigned *counts;
static struct {
    unsigned long long place, stack, since, inside, calls;
} watched[WATCHED_MAX];
static int watched_count;

static void fail(const char *what) {
    fprintf(stderr, "steps: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void on_signal(int number) {
    begins |= number == SIGUSR1;
    ends |= number == SIGUSR2;
    leaves |= number == SIGTERM;
}

static FILE *open_in(const char *name, const char *mode) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, mode);
    if (!file)
        fail(path);
    return file;
}

// The thread with this name, or 0.
static int thread_of(int program, const char *name) {
    char path[PATH_MAX], comm[64];
    snprintf(path, sizeof path, "/proc/%d/task", program);
    DIR *threads = opendir(path);
    int found = 0;
    for (struct dirent *entry; threads && !found && (entry = readdir(threads));) {
        snprintf(path, sizeof path, "/proc/%d/task/%s/comm", program, entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        if (fgets(comm, sizeof comm, file) && !strcmp(strtok(comm, "\n"), name))
            found = atoi(entry->d_name);
        fclose(file);
    }
    if (threads)
        closedir(threads);
    return found;
}

// Where the program's file lies in memory.
static void find_image(int program) {
    char path[PATH_MAX], line[PATH_MAX + 100], exe[PATH_MAX] = "";
    snprintf(path, sizeof path, "/proc/%d/exe", program);
    if (readlink(path, exe, sizeof exe - 1) < 0)
        fail(path);
    snprintf(path, sizeof path, "/proc/%d/maps", program);
    FILE *maps = fopen(path, "r");
    if (!maps)
        fail(path);
    unsigned long long from, to, end = 0;
    while (fgets(line, sizeof line, maps)) {
        if (!strstr(line, exe) || sscanf(line, "%llx-%llx", &from, &to) != 2)
            continue;
        base = base ? base : from;
        end = to;
    }
    fclose(maps);
    size = end - base;
    counts = calloc(size, sizeof *counts);
    if (!base || !counts)
        fail("the program's image");
}

static void read_watched(void) {
    FILE *file = open_in("watched", "r");
    while (watched_count < WATCHED_MAX && fscanf(file, "%llu", &watched[watched_count].place) == 1)
        watched_count++;
    fclose(file);
}

// Stops the thread between two instructions.
static void stop(int thread) {
    int status;
    if (ptrace(PTRACE_INTERRUPT, thread, 0, 0) < 0)
        fail("interrupt");
    while (waitpid(thread, &status, __WALL) < 0)
        if (errno != EINTR)
            fail("wait");
}

static void count(int thread) {
    struct user_regs_struct regs;
    unsigned long long before = 0, steps = 0;
    int status, hand_on = 0;
    // Beside the thread: to wake another core for each step takes thirty times as long.
    cpu_set_t cores;
    if (sched_getaffinity(thread, sizeof cores, &cores) || sched_setaffinity(0, sizeof cores, &cores))
        fail("affinity");
    if (ptrace(PTRACE_SEIZE, thread, 0, 0) < 0)
        fail("seize");
    stop(thread);
    fclose(open_in("begun", "w"));
    while (!ends && !leaves) {
        if (ptrace(PTRACE_GETREGS, thread, 0, &regs) < 0)
            fail("registers");
        // A string instruction stops at each of its rounds.
        if (regs.rip != before) {
            steps++;
            counts[regs.rip - base < size ? regs.rip - base : 0]++;
        }
        before = regs.rip;
        for (int at = 0; at < watched_count; at++) {
            if (!watched[at].stack && regs.rip - base == watched[at].place) {
                watched[at].stack = regs.rsp;
                watched[at].since = steps;
                watched[at].calls++;
            } else if (watched[at].stack && regs.rsp > watched[at].stack) {
                watched[at].inside += steps - watched[at].since;
                watched[at].stack = 0;
            }
        }
        if (ptrace(PTRACE_SINGLESTEP, thread, 0, hand_on) < 0)
            fail("step");
        hand_on = 0;
        int done;
        while ((done = waitpid(thread, &status, __WALL)) < 0 && errno == EINTR && !ends && !leaves)
            ;
        if (done < 0) { // It sleeps, and the count is over.
            stop(thread);
            break;
        }
        if (!WIFSTOPPED(status))
            fail("the thread is gone");
        if (WSTOPSIG(status) != SIGTRAP)
            hand_on = WSTOPSIG(status);
    }
    if (ptrace(PTRACE_DETACH, thread, 0, 0) < 0)
        fail("detach");
}

static void tell(void) {
    FILE *file = open_in("calls", "w");
    for (int at = 0; at < watched_count; at++)
        fprintf(file, "%llu %llu %llu\n", watched[at].place, watched[at].calls, watched[at].inside);
    fclose(file);
    file = open_in("steps.new", "w");
    for (unsigned long long place = 0; place < size; place++)
        if (counts[place])
            fprintf(file, "%llu %u\n", place, counts[place]);
    fclose(file);
    char from[PATH_MAX], to[PATH_MAX];
    snprintf(from, sizeof from, "%s/steps.new", folder);
    snprintf(to, sizeof to, "%s/steps", folder);
    if (rename(from, to) < 0)
        fail(to);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: steps THREAD FOLDER PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    folder = argv[2];
    struct sigaction action = {.sa_handler = on_signal};
    for (int at = 0; at < 3; at++)
        sigaction((int[]){SIGUSR1, SIGUSR2, SIGTERM}[at], &action, 0);
    int program = fork(), status;
    if (!program) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(argv[3], argv + 3);
        fail(argv[3]);
    }
    while (waitpid(program, &status, 0) < 0) {
        if (errno != EINTR)
            fail("wait");
        if (begins && !counts) {
            int thread = thread_of(program, argv[1]);
            if (!thread)
                fail("no such thread");
            find_image(program);
            read_watched();
            count(thread);
            tell();
        }
        if (leaves)
            kill(program, SIGTERM);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
