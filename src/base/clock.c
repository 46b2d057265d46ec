// SPDX-License-Identifier: MIT

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now); // cannot fail for these clocks
    return now.tv_sec * CLOCK_NS_PER_S + now.tv_nsec;
}

int64_t clock_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
    return read_clock(CLOCK_MONOTONIC) / CLOCK_NS_PER_MS;
}

int64_t clock_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t clock_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME) / CLOCK_NS_PER_MS;
}

int64_t clock_wall_s(void)
{
    return read_clock(CLOCK_REALTIME) / CLOCK_NS_PER_S;
}

#define WALL_MS_MAX INT64_C(253402300799999) // 9999-12-31T23:59:59.999Z

struct moment {
    struct tm parts;
    int ms;
};

static struct moment moment_of(int64_t wall_ms)
{
    if (wall_ms < 0)
        wall_ms = 0;
    if (wall_ms > WALL_MS_MAX)
        wall_ms = WALL_MS_MAX;
    struct moment moment = {.ms = (int) (wall_ms % 1000)};
    time_t seconds = (time_t) (wall_ms / 1000);
    gmtime_r(&seconds, &moment.parts);
    return moment;
}

static char *iso(int64_t wall_ms, const char *zone, char *text)
{
    struct moment at = moment_of(wall_ms);
    (void) snprintf(text, CLOCK_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03d%s",
                    at.parts.tm_year + 1900, at.parts.tm_mon + 1, at.parts.tm_mday,
                    at.parts.tm_hour, at.parts.tm_min, at.parts.tm_sec, at.ms, zone);
    return text;
}

char *clock_iso_z(int64_t wall_ms, char text[CLOCK_TEXT_MAX])
{
    return iso(wall_ms, "Z", text);
}

char *clock_iso_lambda(int64_t wall_ms, char text[CLOCK_TEXT_MAX])
{
    return iso(wall_ms, "+0000", text);
}

char *clock_basic(int64_t wall_ms, char text[CLOCK_TEXT_MAX])
{
    struct moment at = moment_of(wall_ms);
    (void) snprintf(text, CLOCK_TEXT_MAX, "%04d%02d%02dT%02d%02d%02dZ", at.parts.tm_year + 1900,
                    at.parts.tm_mon + 1, at.parts.tm_mday, at.parts.tm_hour, at.parts.tm_min,
                    at.parts.tm_sec);
    return text;
}

char *clock_http(int64_t wall_ms, char text[CLOCK_TEXT_MAX])
{
    // Not strftime: its names follow the locale.
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct moment at = moment_of(wall_ms);
    (void) snprintf(text, CLOCK_TEXT_MAX, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                    days[at.parts.tm_wday], at.parts.tm_mday, months[at.parts.tm_mon],
                    at.parts.tm_year + 1900, at.parts.tm_hour, at.parts.tm_min, at.parts.tm_sec);
    return text;
}

// The number in `size` digits at `start`, or -1.
static int digits(struct str text, size_t start, size_t size)
{
    uint64_t value;
    return str_to_u64(str_part(text, start, size), 9999, &value) < 0 ? -1 : (int) value;
}

int clock_parse_basic(struct str text, int64_t *ret_wall_s)
{
    if (text.size != 16 || text.data[8] != 'T' || text.data[15] != 'Z')
        return -EINVAL;
    int year = digits(text, 0, 4), month = digits(text, 4, 2), day = digits(text, 6, 2);
    int hour = digits(text, 9, 2), minute = digits(text, 11, 2), second = digits(text, 13, 2);
    if (year < 1970 || month < 1 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 59)
        return -EINVAL;
    struct tm parts = {.tm_year = year - 1900,
                       .tm_mon = month - 1,
                       .tm_mday = day,
                       .tm_hour = hour,
                       .tm_min = minute,
                       .tm_sec = second};
    time_t wall_s = timegm(&parts);
    // timegm normalises: a 30th of February comes back as a day of March.
    if (parts.tm_mday != day || parts.tm_mon != month - 1)
        return -EINVAL;
    *ret_wall_s = wall_s;
    return 0;
}
