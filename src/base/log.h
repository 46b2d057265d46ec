// SPDX-License-Identifier: MIT
//
// One event a line, on stderr or another descriptor:
//
//     2026-01-02T03:04:05.678Z info instance.start function=hello id=i-12 cold_ms=0.8
//
// Event names are an interface (operators grep for them); fields are key=value. Levels: error = an
// operator must act; warn = we went on, and the line says how; info = life cycle; debug = for us.
// Never payloads, credentials or environment values.
//
// A value that may hold spaces or that came from outside goes through LOG_TEXT, which quotes it:
// `log_warn("deploy.failed", "function=%s error=%s", name, LOG_TEXT(err.text))`.
// Control characters can never reach the line: whatever is left of them becomes '?'. A line is one
// write() of at most LOG_LINE_MAX bytes (cut, with "..."), so lines of threads and processes do not
// mix. Any thread may log. Library-like folders (base, store, fetch, aws, http) return errors and
// do not log.

#ifndef LAMINA_BASE_LOG_H
#define LAMINA_BASE_LOG_H

#include "base/compiler.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

#define LOG_LINE_MAX 2048
#define LOG_TEXT_MAX 640

// Set once in main, before threads. Defaults: info and descriptor 2.
void log_set_level(enum log_level level);
void log_set_fd(int fd); // borrowed: lives as long as the process

// Level of "error", "warn", "info" or "debug"; -EINVAL for anything else.
int log_level_parse(const char *text) MUST_CHECK;

void log_event(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

#define log_error(event, ...) log_event(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_event(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_event(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_event(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

// The text in double quotes if it holds a space, a quote, '=' , a backslash or a control character
// (escaped as \" \\ \n \xNN), else as it is; NULL becomes "". Lives until the end of the block it
// is used in.
#define LOG_TEXT(text) log_text((char[LOG_TEXT_MAX]){0}, text)
const char *log_text(char buffer[LOG_TEXT_MAX], const char *text);

#endif
