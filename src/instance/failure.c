/* SPDX-License-Identifier: MIT */
#include "instance/failure.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/json.h"
#include "base/limits.h"
#include "instance/extensions.h"
#include "wire/spawn.h"

#define FAILURE_BODY_READ_MAX ((size_t) 64 * 1024)

static void failure_set(struct instance_failure *failure, const char *status, const char *type,
                        const char *format, ...) PRINTF_LIKE(4, 5);

static void failure_set(struct instance_failure *failure, const char *status, const char *type,
                        const char *format, ...)
{
    va_list values;
    buf_done(&failure->body);
    failure->status = status;
    failure->has_id = true;
    snprintf(failure->type, sizeof(failure->type), "%s", type);
    va_start(values, format);
    vsnprintf(failure->text, sizeof(failure->text), format, values);
    va_end(values);
}

void failure_set_timeout(struct instance_failure *failure, uint32_t timeout_ms)
{
    failure_set(failure, "timeout", "Sandbox.Timedout", "Task timed out after %.2f seconds",
                (double) timeout_ms / 1000.0);
}

void failure_set_too_large(struct instance_failure *failure, uint64_t bytes)
{
    failure_set(failure, "error", "Function.ResponseSizeTooLarge",
                "Response payload size (%llu bytes) exceeded maximum allowed payload size (%llu "
                "bytes).",
                (unsigned long long) bytes, (unsigned long long) LIMIT_RESPONSE_SYNC_MAX);
    failure->has_id = false;
}

void failure_set_extension(struct instance_failure *failure, struct str type, bool is_init)
{
    failure_set(failure, "error", is_init ? "Extension.InitError" : "Extension.ExitError",
                STR_FORMAT, STR_ARGUMENTS(type));
}

void failure_set_truncated(struct instance_failure *failure)
{
    failure_set(failure, "error", "Runtime.TruncatedResponse",
                "Response was truncated: the runtime's connection ended in the middle of it");
}

void failure_set_response_mode(struct instance_failure *failure)
{
    failure_set(failure, "error", "Runtime.InvalidResponseModeHeader",
                "Invalid Lambda-Runtime-Function-Response-Mode header");
}

void failure_set_sandbox(struct instance_failure *failure, const char *text)
{
    failure_set(failure, "error", "Sandbox.Failure", "%s", text);
}

void failure_set_refused(struct instance_failure *failure, struct str reason)
{
    failure_set(failure, "error", "Sandbox.TemplateRefused", STR_FORMAT, STR_ARGUMENTS(reason));
}

/* What Go's os.ProcessState prints for a signal, since Lambda's supervisor is written in Go. */
static const char *signal_text(int number)
{
    static const char *const texts[] = {
        [SIGHUP] = "hangup",
        [SIGINT] = "interrupt",
        [SIGQUIT] = "quit",
        [SIGILL] = "illegal instruction",
        [SIGTRAP] = "trace/breakpoint trap",
        [SIGABRT] = "aborted",
        [SIGBUS] = "bus error",
        [SIGFPE] = "floating point exception",
        [SIGKILL] = "killed",
        [SIGUSR1] = "user defined signal 1",
        [SIGSEGV] = "segmentation fault",
        [SIGUSR2] = "user defined signal 2",
        [SIGPIPE] = "broken pipe",
        [SIGALRM] = "alarm clock",
        [SIGTERM] = "terminated",
        [SIGXCPU] = "CPU time limit exceeded",
        [SIGXFSZ] = "file size limit exceeded",
        [SIGSYS] = "bad system call",
    };
    if (number > 0 && (size_t) number < ARRAY_SIZE(texts) && texts[number])
        return texts[number];
    return NULL;
}

static void failure_set_signal(struct instance_failure *failure, const char *type, int number)
{
    const char *text = signal_text(number);
    if (text)
        failure_set(failure, "error", type, "Runtime exited with error: signal: %s", text);
    else
        failure_set(failure, "error", type, "Runtime exited with error: signal %d", number);
}

static void failure_set_entrypoint(struct instance_failure *failure, uint32_t exec_errno)
{
    const char *type = "Runtime.InvalidEntrypoint";
    if (exec_errno == ENOENT)
        failure_set(failure, "error", type,
                    "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]");
    else if (exec_errno == ENOEXEC)
        failure_set(failure, "error", type, "fork/exec /var/task/bootstrap: exec format error");
    else if (exec_errno == EACCES)
        failure_set(failure, "error", type, "fork/exec /var/task/bootstrap: permission denied");
    else
        failure_set(failure, "error", type, "fork/exec /var/task/bootstrap: %s",
                    error_name((int) exec_errno));
}

void failure_set_exit(struct instance_failure *failure, const struct spawn_exit *message)
{
    int status = message->status;
    if (message->exec_errno)
        failure_set_entrypoint(failure, message->exec_errno);
    else if (message->flags & SPAWN_EXIT_OOM)
        /* AWS names the signal, not the cause, in the text; the type tells. */
        failure_set_signal(failure, "Runtime.OutOfMemory", SIGKILL);
    else if (WIFSIGNALED(status))
        failure_set_signal(failure, "Runtime.ExitError", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        failure_set(failure, "error", "Runtime.ExitError",
                    "Runtime exited with error: exit status %d", WEXITSTATUS(status));
    else
        failure_set(failure, "error", "Runtime.ExitError",
                    "Runtime exited without providing a reason");
}

void failure_set_extension_exit(struct instance_failure *failure, const struct extensions_end *end)
{
    const char *text = WIFSIGNALED(end->status) ? signal_text(WTERMSIG(end->status)) : NULL;
    if (end->error)
        failure_set(failure, "error", "Extension.LaunchError",
                    "fork/exec /opt/extensions/%.100s: %s", end->name, error_name(end->error));
    else if (text)
        failure_set(failure, "error", "Extension.Crash", "signal: %s", text);
    else if (WIFSIGNALED(end->status))
        failure_set(failure, "error", "Extension.Crash", "signal %d", WTERMSIG(end->status));
    else
        failure_set(failure, "error", "Extension.Crash", "exit status %d",
                    WEXITSTATUS(end->status));
}

void failure_set_too_many_extensions(struct instance_failure *failure)
{
    failure_set(failure, "error", "Extension.TooManyExtensions",
                "more than %d files in /opt/extensions", EXTENSIONS_MAX);
}

/* `(Runtime|Function)\.[A-Z][a-zA-Z]+`, as the Runtime API demands of the header. */
static bool error_type_is_valid(struct str type)
{
    struct str rest = {0};
    if (str_has_prefix(type, STR("Runtime.")))
        rest = str_skip(type, strlen("Runtime."));
    else if (str_has_prefix(type, STR("Function.")))
        rest = str_skip(type, strlen("Function."));
    if (rest.size < 2 || rest.size > 100 || rest.data[0] < 'A' || rest.data[0] > 'Z')
        return false;
    for (size_t i = 1; i < rest.size; i++)
        if (!((rest.data[i] >= 'a' && rest.data[i] <= 'z') ||
              (rest.data[i] >= 'A' && rest.data[i] <= 'Z')))
            return false;
    return true;
}

void failure_set_posted(struct instance_failure *failure, struct str type, const char *fallback,
                        struct buf *body)
{
    if (!error_type_is_valid(type))
        type = str_of(fallback);
    failure_set(failure, "error", "", "%s", "");
    snprintf(failure->type, sizeof(failure->type), STR_FORMAT, STR_ARGUMENTS(type));
    failure->body = *body;
    buf_init(body, body->maximum);
}

/* A body is the runtime's: {"errorMessage":..., "errorType":...}, if it keeps to the rules. */
void instance_failure_text(const struct instance_failure *failure, char *text, size_t size)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct str message = {0};
    if (failure->body.size > 0 &&
        json_parse(buf_str(&failure->body), FAILURE_BODY_READ_MAX, &doc, NULL) == 0)
        (void) !json_member_str(yyjson_doc_get_root(doc), "errorMessage", &message);
    if (message.size > 0)
        snprintf(text, size, "%s: " STR_FORMAT, failure->type, STR_ARGUMENTS(message));
    else
        snprintf(text, size, "%s", failure->text[0] ? failure->text : failure->type);
}

void instance_failure_done(struct instance_failure *failure)
{
    buf_done(&failure->body);
}

void instance_failure_copy(struct instance_failure *to, const struct instance_failure *from)
{
    instance_failure_done(to);
    *to = *from;
    buf_init(&to->body, from->body.maximum);
    buf_append(&to->body, from->body.data, from->body.size);
}

void failure_message(const struct instance_failure *failure, const char *request_id,
                     char text[FAILURE_MESSAGE_MAX])
{
    if (failure->has_id)
        snprintf(text, FAILURE_MESSAGE_MAX, "RequestId: %s Error: %s", request_id, failure->text);
    else
        snprintf(text, FAILURE_MESSAGE_MAX, "%s", failure->text);
}

void instance_failure_payload(struct instance_failure *failure, const char *request_id,
                              struct buf *ret_payload)
{
    char message[FAILURE_MESSAGE_MAX];
    if (failure->body.size > 0) {
        *ret_payload = failure->body;
        buf_init(&failure->body, failure->body.maximum);
        return;
    }
    failure_message(failure, request_id, message);
    buf_init(ret_payload, sizeof(message) * 8);
    buf_append_text(ret_payload, "{\"errorType\":");
    json_append_string(ret_payload, str_of(failure->type));
    buf_append_text(ret_payload, ",\"errorMessage\":");
    json_append_string(ret_payload, str_of(message));
    buf_append_byte(ret_payload, '}');
}
