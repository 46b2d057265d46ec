// SPDX-License-Identifier: MIT
//
// A function for measuring forks: it maps /var/task/weights when it starts, if that is there, and answers with the
// time at which its handler began.
//
//     {}                    -> {"begun_ns": n, "sum": 0}
//     {"percent": 1}        reads that part of the weights, page by page, spread over all of them
//     {"percent": 100}      reads every byte
//     {"barrier": true}     first waits until nobody holds the weights locked (flock; from outside it is the store's file)
//
// CLOCK_MONOTONIC is one clock for caller and function on one machine.

#include <lamina.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static struct {
    const unsigned char *bytes;
    size_t size;
} weights;

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void map_weights(void)
{
    struct stat about;
    int fd = open("/var/task/weights", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &about) == 0 && about.st_size > 0) {
        void *at = mmap(NULL, (size_t) about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at != MAP_FAILED) {
            weights.bytes = at;
            weights.size = (size_t) about.st_size;
        }
    }
    close(fd);
}

static unsigned long long read_all(void)
{
    unsigned long long sum = 0, word;
    for (size_t at = 0; at + sizeof(word) <= weights.size; at += sizeof(word)) {
        memcpy(&word, weights.bytes + at, sizeof(word));
        sum += word;
    }
    return sum;
}

static unsigned long long read_part(unsigned percent)
{
    unsigned long long sum = 0;
    size_t pages = weights.size / PAGE;
    size_t wanted = pages * percent / 100;
    if (percent >= 100)
        return read_all();
    for (size_t i = 0; i < wanted; i++)
        sum += weights.bytes[i * pages / wanted * PAGE];
    return sum;
}

static int wait_at_barrier(void)
{
    int fd = open("/var/task/weights", O_RDONLY | O_CLOEXEC);
    int r = fd < 0 || flock(fd, LOCK_SH) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return r;
}

static int answer(struct lamina_call *call, void *data)
{
    long long begun_ns = now_ns();
    const char *percent = strstr(call->payload, "\"percent\":");
    (void) data;
    int r = strstr(call->payload, "\"barrier\":") ? wait_at_barrier() : 0;
    if (r < 0)
        return lamina_fail(call, "Function.NoBarrier", "%s", strerror(-r));
    return lamina_printf(call, "{\"begun_ns\": %lld, \"sum\": %llu}", begun_ns,
                         percent ? read_part((unsigned) strtoul(percent + 10, NULL, 10)) : 0);
}

int main(void)
{
    map_weights();
    return lamina_run(answer, NULL);
}
