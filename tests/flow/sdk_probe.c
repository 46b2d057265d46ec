// SPDX-License-Identifier: MIT
//
// A function that does what the event's first letter says: what tests need liblamina to be seen doing.

#include <lamina.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int write_many(struct lamina_call *call, size_t size)
{
    char block[4096];
    memset(block, 'x', sizeof block);
    while (size > 0) {
        size_t step = size < sizeof block ? size : sizeof block;
        int r = lamina_write(call, block, step);
        if (r < 0)
            return r;
        size -= step;
    }
    return 0;
}

static int stream(struct lamina_call *call, const char *word)
{
    char *end;
    unsigned long count = strtoul(word + 1, &end, 10), size = strtoul(end + 1, NULL, 10);
    char *piece = malloc(size + 1);
    if (piece == NULL)
        return -ENOMEM;
    memset(piece, 'p', size);
    lamina_write(call, "[", 1); // before it is a stream: sent with the first piece
    int r = lamina_stream(call);
    for (unsigned long i = 0; r == 0 && i < count; i++)
        r = lamina_write(call, piece, size);
    free(piece);
    lamina_printf(call, "%c", word[0]); // the event is still there
    lamina_json_string(call, "end", 3);
    return r;
}

static int show(struct lamina_call *call)
{
    const char *exported = getenv("_X_AMZN_TRACE_ID");
    lamina_printf(
        call,
        "{\"id\":\"%s\",\"arn\":\"%s\",\"trace\":\"%s\",\"exported\":\"%s\",\"remaining\":%d,",
        call->request_id, call->function_arn, call->trace_id, exported ? exported : "(unset)",
        lamina_remaining_ms(call) > 0);
    lamina_printf(call, "\"deadline\":%lld,\"context\":", (long long) call->deadline_ms);
    lamina_json_string(call, call->client_context, strlen(call->client_context));
    lamina_printf(call, ",\"size\":%zu}", call->size);
    return 0;
}

static int show_model(struct lamina_call *call, const char *rest)
{
    char uri[1100], bytes[16];
    size_t size = strcspn(rest, "\"");
    if (size >= sizeof uri)
        return -EINVAL;
    memcpy(uri, rest, size);
    uri[size] = '\0';
    int fd = lamina_model_open(size > 0 ? uri : NULL);
    if (fd < 0)
        return lamina_printf(call, "{\"error\":\"%s\"}", strerror(-fd));
    ssize_t n = read(fd, bytes, sizeof bytes);
    close(fd);
    lamina_printf(call, "{\"begins\":");
    lamina_json_string(call, bytes, n > 0 ? (size_t) n : 0);
    return lamina_printf(call, "}");
}

static int handle(struct lamina_call *call, void *data)
{
    int *calls = data;
    const char *word = call->payload[0] == '"' ? call->payload + 1 : call->payload; // also as JSON
    (*calls)++;
    switch (word[0]) {
    case 's':
        return show(call);
    case 'e': // the event itself
        return lamina_write(call, call->payload, call->size);
    case 'w': // w1234: so many bytes
        return write_many(call, strtoul(call->payload + 1, NULL, 10));
    case 'i': // as w, but the result is ignored
        (void) write_many(call, strtoul(call->payload + 1, NULL, 10));
        return 0;
    case 'f':
        return lamina_fail(call, "Function.Asked", "you said \"%s\"\n", call->payload);
    case 'r':
        return -EBADF;
    case 't':
        lamina_content_type(call, "text/plain; charset=utf-8");
        return lamina_write(call, "hello", 5);
    case 'n':
        return 0;
    case 'S': // S3,100: three pieces of a hundred bytes, and the event's first byte after them
        return stream(call, word);
    case 'X': // a stream that fails after its first piece
        lamina_stream(call);
        lamina_write(call, "begun", 5);
        return lamina_fail(call, "Function.InTheMiddle", "no more \"here\"");
    case 'Y': // one that fails before
        lamina_stream(call);
        return lamina_fail(call, "Function.BeforeIt", "nothing was sent");
    case 'Z': // an empty one, with a type
        lamina_content_type(call, "text/event-stream");
        return lamina_stream(call);
    case 'm': // ms3://bucket/key: opens it and tells its first bytes; m alone: the function's own
        return show_model(call, word + 1);
    case 'k': // how it was initialised, and how often it was called
        return lamina_printf(call, "{\"type\":\"%s\",\"calls\":%d}",
                             getenv("AWS_LAMBDA_INITIALIZATION_TYPE"), *calls);
    case 'c':
        return lamina_printf(call, "%d", *calls);
    default:
        return lamina_fail(call, "Function.Unknown", "no such letter");
    }
}

int main(void)
{
    int calls = 0;
    if (getenv("FAIL_INIT"))
        return lamina_init_fail("Runtime.ProbeBroken", "cannot start: \"%s\"", getenv("FAIL_INIT"));
    lamina_init_phase("load", 12.3456);
    lamina_init_phase("bad name", 1);
    lamina_init_phase("warm", 0.5);
    lamina_model_digest("0123abcd");
    return lamina_run(handle, &calls);
}
