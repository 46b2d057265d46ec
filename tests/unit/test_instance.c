/* SPDX-License-Identifier: MIT
 *
 * One instance from START to EXIT, with this test as lamina-spawn and as the runtime. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "instance/instance.h"
#include "instance/log_stream.h"
#include "loop/loop.h"

#include "fake_spawn.h"
#include "unit.h"

#define ID "12345678-1234-4234-8234-123456789abc"

/* What the instance told. */
struct told {
    int started, idle, unready, answered, ended, lost;
    bool is_error;
    char payload[1024];
    char type[128];
    char tail[8192];
    char digest[80];
    bool is_init_failure, is_sandbox_fault;
    /* of a streamed response */
    int begun;
    bool is_streamed, is_slow;
    char content_type[64];
    size_t bytes;
    int pieces;
};

struct fixture {
    struct loop *loop;
    struct fake_spawn spawn;
    struct instance_host *host;
    struct instance *instance;
    struct fake_box box;
    struct told told;
    struct buf payload;
    struct instance_request request;
};

static void on_started(void *arg, struct instance *instance)
{
    ((struct fixture *) arg)->told.started++;
    (void) instance;
}

static void on_idle(void *arg, struct instance *instance)
{
    ((struct fixture *) arg)->told.idle++;
    (void) instance;
}

static void on_unready(void *arg, struct instance *instance)
{
    ((struct fixture *) arg)->told.unready++;
    (void) instance;
}

static void keep(char *to, size_t size, struct str text)
{
    snprintf(to, size, STR_FORMAT, STR_ARGUMENTS(text));
}

static void on_answered(void *arg, struct instance *instance, struct instance_answer *answer)
{
    struct told *told = &((struct fixture *) arg)->told;
    struct buf payload = BUF_INIT(LIMIT_RESPONSE_SYNC_MAX);
    (void) instance;
    told->answered++;
    told->is_error = answer->is_error;
    keep(told->tail, sizeof(told->tail), answer->log_tail);
    keep(told->digest, sizeof(told->digest), answer->model_digest);
    if (answer->is_error) {
        snprintf(told->type, sizeof(told->type), "%s", answer->failure->type);
        instance_failure_payload(answer->failure, ID, &payload);
        keep(told->payload, sizeof(told->payload), buf_str(&payload));
        buf_done(&payload);
    } else {
        keep(told->payload, sizeof(told->payload), buf_str(&answer->payload));
    }
}

static void on_ended(void *arg, struct instance *instance, const struct instance_end *end)
{
    struct fixture *fixture = arg;
    struct told *told = &fixture->told;
    told->ended++;
    told->is_init_failure = end->is_init_failure;
    told->is_sandbox_fault = end->is_sandbox_fault;
    snprintf(told->type, sizeof(told->type), "%s", end->failure->type);
    if (end->is_init_failure) {
        struct buf payload = {0};
        struct str tail = {0};
        instance_log_failed_call(instance, &fixture->request, end->failure, &tail);
        keep(told->tail, sizeof(told->tail), tail);
        instance_failure_payload(end->failure, ID, &payload);
        keep(told->payload, sizeof(told->payload), buf_str(&payload));
        buf_done(&payload);
    }
    fixture->instance = NULL;
}

static void on_lost(void *arg)
{
    ((struct fixture *) arg)->told.lost++;
}

static int setup(void **state)
{
    struct fixture *fixture = mem_new(struct fixture);
    struct instance_host_config config = {.region = "us-east-1", .lost = on_lost, .arg = fixture};
    struct error err = {0};
    fixture->loop = loop_new();
    fake_spawn_open(&fixture->spawn, fixture->loop);
    config.loop = fixture->loop;
    config.spawn_fd = fixture->spawn.host_fd;
    assert_int_equal(instance_host_new(&config, &fixture->host, &err), 0);
    fixture->box.http_fd = fixture->box.log_fd = fixture->box.peak_fd = -1;
    buf_init(&fixture->payload, 1 << 20);
    fixture->request = (struct instance_request){
        .id = ID,
        .payload = &fixture->payload,
        .trace_id = STR("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"),
        .invoked_arn = STR("arn:aws:lambda:us-east-1:000000000000:function:f"),
        .timeout_ms = FAKE_DEADLINE_MS * 2,
        .wants_log_tail = true,
    };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->instance) {
        instance_stop(fixture->instance);
        if (fixture->box.id) {
            fake_box_exit(&fixture->box, SIGKILL, SPAWN_EXIT_KILLED, 0);
            fake_wait_flag(&fixture->spawn, &fixture->told.ended);
        }
    }
    fake_box_close(&fixture->box);
    fake_turns(&fixture->spawn);
    instance_host_free(fixture->host);
    fake_turns(&fixture->spawn);
    fake_spawn_close(&fixture->spawn);
    loop_free(fixture->loop);
    buf_done(&fixture->payload);
    free(fixture);
    return 0;
}

static void start_with(struct fixture *fixture, struct instance_spec spec)
{
    const struct instance_events events = {.started = on_started,
                                           .idle = on_idle,
                                           .unready = on_unready,
                                           .answered = on_answered,
                                           .ended = on_ended,
                                           .arg = fixture};
    fixture->instance = instance_new(fixture->host, &spec, &events);
    assert_non_null(fixture->instance);
    assert_string_equal(instance_state_name(fixture->instance), "STARTING");
}

static struct instance_spec a_spec(void)
{
    return (struct instance_spec){.function = "f",
                                  .version = "$LATEST",
                                  .handler = "h",
                                  .runtime = "provided.al2023",
                                  .memory_mb = 128,
                                  .tmp_mb = 512,
                                  .init_limit_ms = FAKE_DEADLINE_MS * 2};
}

/* STARTED and INIT. */
static void start(struct fixture *fixture)
{
    start_with(fixture, a_spec());
    fake_box_expect(&fixture->spawn, &fixture->box);
    fake_wait_flag(&fixture->spawn, &fixture->told.started);
    assert_string_equal(instance_state_name(fixture->instance), "INIT");
}

static void make_idle(struct fixture *fixture)
{
    start(fixture);
    fake_box_send(&fixture->box, FAKE_NEXT);
    fake_wait_flag(&fixture->spawn, &fixture->told.idle);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_INIT_DONE, NULL, 0), fixture->box.id);
    assert_string_equal(instance_state_name(fixture->instance), "IDLE");
}

static void invoke(struct fixture *fixture, const char *payload)
{
    buf_clear(&fixture->payload);
    buf_append_text(&fixture->payload, payload);
    instance_invoke(fixture->instance, &fixture->request);
    assert_string_equal(instance_state_name(fixture->instance), "BUSY");
}

static void make_busy(struct fixture *fixture)
{
    make_idle(fixture);
    invoke(fixture, "{\"n\":1}");
    assert_int_equal(fake_box_answer(&fixture->box), 200);
}

static void post(char *to, size_t size, const char *path, const char *headers, const char *body)
{
    snprintf(to, size,
             "POST /2018-06-01/runtime/%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s",
             path, headers, strlen(body), body);
}

static int call_post(struct fixture *fixture, const char *path, const char *headers,
                     const char *body)
{
    char text[4096];
    post(text, sizeof(text), path, headers, body);
    return fake_box_call(&fixture->box, text);
}

static void expect_in(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

/* ---- */

static void start_carries_the_environment(void **state)
{
    struct fixture *fixture = *state;
    const struct instance_variable variables[] = {{"MY", "1"}, {"AWS_REGION", "mars"}, {"TZ", "x"}};
    struct instance_spec spec = a_spec();
    struct spawn_start message;
    static char env[SPAWN_ENV_MAX + 1];
    spec.variables = variables;
    spec.n_variables = ARRAY_SIZE(variables);
    start_with(fixture, spec);
    fixture->box.id = fake_expect(&fixture->spawn, SPAWN_START, &message, sizeof(message));
    assert_int_equal(message.memory_bytes, 128u << 20);
    assert_int_equal(message.cpu_millis, 72);
    for (uint32_t i = 0; i < message.env_size; i++)
        env[i] = message.env[i] ? message.env[i] : '\n';
    env[message.env_size] = '\0';
    expect_in(env, "\nMY=1\n");
    expect_in(env, "\nTZ=x\n");
    assert_null(strstr(env, "TZ=:UTC"));
    expect_in(env, "\nAWS_REGION=us-east-1\n");
    assert_null(strstr(env, "mars"));
    expect_in(env, "\nAWS_LAMBDA_RUNTIME_API=127.0.0.1:9001\n");
    expect_in(env, "\n_HANDLER=h\n");
    expect_in(env, "\nAWS_LAMBDA_FUNCTION_MEMORY_SIZE=128\n");
    assert_null(strstr(env, "AWS_EXECUTION_ENV"));
    fake_box_fail(&fixture->spawn, fixture->box.id, SPAWN_STEP_TREE, ENOENT);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
}

static void next_carries_every_header(void **state)
{
    struct fixture *fixture = *state;
    fixture->request.client_context = STR("{\"a\":1}");
    fixture->request.cognito = STR("{\"cognitoIdentityId\":\"c\"}");
    make_busy(fixture);
    expect_in(fixture->box.answer, "Content-Type: application/json\r\n");
    expect_in(fixture->box.answer, "Lambda-Runtime-Aws-Request-Id: " ID "\r\n");
    expect_in(fixture->box.answer, "Lambda-Runtime-Deadline-Ms: 1");
    expect_in(fixture->box.answer, "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:"
                                   "000000000000:function:f\r\n");
    expect_in(fixture->box.answer, "Lambda-Runtime-Trace-Id: Root=1-5759e988-");
    expect_in(fixture->box.answer, "Lambda-Runtime-Client-Context: {\"a\":1}\r\n");
    expect_in(fixture->box.answer, "Lambda-Runtime-Cognito-Identity: {\"cognito");
    expect_in(fixture->box.answer, "\r\n\r\n{\"n\":1}");
}

static void next_leaves_out_what_is_empty(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_null(strstr(fixture->box.answer, "Client-Context"));
    assert_null(strstr(fixture->box.answer, "Cognito"));
}

static void a_call_is_answered_and_logged(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    fake_box_print(&fixture->box, "hello from inside\nhalf a line");
    assert_int_equal(call_post(fixture, "invocation/" ID "/response", "", "{\"ok\":true}"), 202);
    assert_int_equal(fixture->told.answered, 1);
    assert_false(fixture->told.is_error);
    assert_string_equal(fixture->told.payload, "{\"ok\":true}");
    expect_in(fixture->told.tail, "INIT_START Runtime Version: provided.al2023\t");
    expect_in(fixture->told.tail,
              "START RequestId: " ID " Version: $LATEST\nhello from inside\n"
              "half a line\nEND RequestId: " ID "\nREPORT RequestId: " ID "\tDuration: ");
    expect_in(fixture->told.tail,
              " ms\tMemory Size: 128 MB\tMax Memory Used: 5 MB\tInit Duration: ");
    assert_string_equal(fixture->told.tail + strlen(fixture->told.tail) - 5, " ms\t\n");
    assert_string_equal(instance_state_name(fixture->instance), "SETTLING");
    fixture->told.idle = 0;
    fake_box_send(&fixture->box, FAKE_NEXT);
    fake_wait_flag(&fixture->spawn, &fixture->told.idle);
    /* The second call pays no init, and its tail begins with it. */
    invoke(fixture, "{}");
    assert_int_equal(fake_box_answer(&fixture->box), 200);
    assert_int_equal(call_post(fixture, "invocation/" ID "/response", "", ""), 202);
    assert_string_equal(fixture->told.payload, "");
    assert_ptr_equal(strstr(fixture->told.tail, "START RequestId: "), fixture->told.tail);
    assert_null(strstr(fixture->told.tail, "Init Duration"));
    assert_int_equal(instance_requests(fixture->instance), 2);
}

static void an_error_goes_to_the_caller_unchanged(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(call_post(fixture, "invocation/" ID "/error",
                               "Lambda-Runtime-Function-Error-Type: Function.Oops\r\n",
                               "{\"errorMessage\":\"m\",\"errorType\":\"T\",\"stackTrace\":[]}"),
                     202);
    assert_true(fixture->told.is_error);
    assert_string_equal(fixture->told.type, "Function.Oops");
    assert_string_equal(fixture->told.payload,
                        "{\"errorMessage\":\"m\",\"errorType\":\"T\",\"stackTrace\":[]}");
    expect_in(fixture->told.tail, "\tStatus: error\tError Type: Function.Oops\n");
}

static void a_free_text_error_type_becomes_unknown(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(call_post(fixture, "invocation/" ID "/error",
                               "Lambda-Runtime-Function-Error-Type: &alloc::string::String\r\n",
                               "{}"),
                     202);
    assert_string_equal(fixture->told.type, "Function.Unknown");
}

static void the_cause_for_x_ray_is_taken_off(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(
        call_post(fixture, "invocation/" ID "/error",
                  "Content-Type: application/vnd.aws.lambda.error.cause+json\r\n",
                  "{\"errorMessage\":\"m\",\"errorType\":\"T\",\"xrayCause\":{\"a\":1}}"),
        202);
    assert_string_equal(fixture->told.payload, "{\"errorMessage\":\"m\",\"errorType\":\"T\"}");
}

static void posts_for_other_ids_are_refused(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(call_post(fixture, "invocation/other/response", "", "{}"), 400);
    expect_in(fixture->box.answer, "\"errorType\":\"InvalidRequestID\"");
    assert_int_equal(call_post(fixture,
                               "invocation/%31%32345678-1234-4234-8234-123456789abc/response", "",
                               "{}"),
                     202); /* percent-encoded, as node's client does */
    assert_int_equal(call_post(fixture, "invocation/" ID "/response", "", "{}"), 403);
    expect_in(fixture->box.answer,
              "State transition from ResponseSent to InvocationResponse failed "
              "for runtime. Error: State transition is not allowed");
    assert_int_equal(fixture->told.answered, 1);
}

static void next_while_busy_is_refused(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(fake_box_call(&fixture->box, FAKE_NEXT), 403);
    expect_in(fixture->box.answer, "State transition from Running to Ready failed");
}

static void unknown_routes_and_modes_are_refused(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(
        fake_box_call(&fixture->box, "GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    expect_in(fixture->box.answer, "\r\n\r\npong");
    assert_int_equal(fake_box_call(&fixture->box, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    assert_int_equal(
        fake_box_call(&fixture->box,
                      "GET /2018-06-01/runtime/restore/next HTTP/1.1\r\nHost: x\r\n\r\n"),
        404);
    assert_int_equal(call_post(fixture, "invocation/" ID "/response",
                               "Lambda-Runtime-Function-Response-Mode: carrier-pigeon\r\n", "{}"),
                     400);
    expect_in(fixture->box.answer, "InvalidFunctionResponseMode");
    assert_int_equal(fixture->told.answered, 1);
    assert_string_equal(fixture->told.type, "Runtime.InvalidResponseModeHeader");
}

static void a_streamed_response_is_collected(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(fake_box_call(&fixture->box,
                                   "POST /2018-06-01/runtime/invocation/" ID
                                   "/response HTTP/1.1\r\nHost: x\r\n"
                                   "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n"
                                   "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
                     202);
    assert_string_equal(fixture->told.payload, "hello world");
}

static void on_stream_begin(void *arg, struct str content_type, bool is_streamed)
{
    struct told *told = &((struct fixture *) arg)->told;
    told->begun++;
    told->is_streamed = is_streamed;
    keep(told->content_type, sizeof(told->content_type), content_type);
}

static bool on_stream_data(void *arg, struct str piece)
{
    struct told *told = &((struct fixture *) arg)->told;
    told->pieces++;
    told->bytes += piece.size;
    return !told->is_slow;
}

static const struct instance_stream stream = {.begin = on_stream_begin, .data = on_stream_data};

#define STREAM_HEAD                                                                                \
    "POST /2018-06-01/runtime/invocation/" ID "/response HTTP/1.1\r\nHost: x\r\n"                  \
    "Content-Type: text/event-stream\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n"      \
    "Transfer-Encoding: chunked\r\n\r\n"

static void make_streaming(struct fixture *fixture)
{
    fixture->request.stream = &stream;
    fixture->request.stream_arg = fixture;
    make_busy(fixture);
}

static void a_streamed_response_is_passed_on_as_it_comes(void **state)
{
    struct fixture *fixture = *state;
    make_streaming(fixture);
    fake_box_send(&fixture->box, STREAM_HEAD "5\r\nhello\r\n");
    fake_wait_flag(&fixture->spawn, &fixture->told.pieces);
    assert_int_equal(fixture->told.begun, 1);
    assert_true(fixture->told.is_streamed);
    assert_string_equal(fixture->told.content_type, "text/event-stream");
    assert_int_equal(fixture->told.bytes, 5);
    assert_int_equal(fixture->told.answered, 0); /* it goes on */
    assert_int_equal(fake_box_call(&fixture->box, "6\r\n world\r\n0\r\n\r\n"), 202);
    assert_int_equal(fixture->told.bytes, 11);
    assert_int_equal(fixture->told.answered, 1);
    assert_false(fixture->told.is_error);
    assert_string_equal(fixture->told.payload, "");
}

static void a_plain_response_is_passed_on_to_a_stream_too(void **state)
{
    struct fixture *fixture = *state;
    make_streaming(fixture);
    assert_int_equal(call_post(fixture, "invocation/" ID "/response", "", "{\"a\":1}"), 202);
    assert_int_equal(fixture->told.begun, 1);
    assert_false(fixture->told.is_streamed);
    assert_int_equal(fixture->told.bytes, 7);
    assert_int_equal(fixture->told.answered, 1);
}

#define LATE_ERROR                                                                                 \
    "3\r\nabc\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.Late\r\n"                       \
    "Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJsYXRlIn0=\r\n\r\n"

static void an_error_in_the_trailers_ends_a_stream(void **state)
{
    struct fixture *fixture = *state;
    make_streaming(fixture);
    assert_int_equal(fake_box_call(&fixture->box, STREAM_HEAD LATE_ERROR), 202);
    assert_int_equal(fixture->told.bytes, 3);
    assert_true(fixture->told.is_error);
    assert_string_equal(fixture->told.type, "Function.Late");
    assert_string_equal(fixture->told.payload, "{\"errorMessage\":\"late\"}");
}

static void an_error_in_the_trailers_fails_a_collected_response(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(fake_box_call(&fixture->box, STREAM_HEAD LATE_ERROR), 202);
    assert_true(fixture->told.is_error);
    assert_string_equal(fixture->told.payload, "{\"errorMessage\":\"late\"}");
}

static void trailers_that_are_no_error_are_passed_over(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(fake_box_call(&fixture->box, STREAM_HEAD "2\r\n{}\r\n0\r\nOther: 1\r\n\r\n"),
                     202);
    assert_false(fixture->told.is_error);
    assert_string_equal(fixture->told.payload, "{}");
}

/* ---- extensions: another connection to the same listener */

struct extension {
    struct fake_box box;
    char id[40];
};

static int extension_call(struct extension *extension, const char *text)
{
    return fake_box_call(&extension->box, text);
}

static void extension_open(struct fixture *fixture, struct extension *extension)
{
    memset(extension, 0, sizeof(*extension));
    extension->box.spawn = &fixture->spawn;
    extension->box.runtime_port = fixture->box.runtime_port;
    extension->box.http_fd = extension->box.log_fd = extension->box.peak_fd = -1;
}

static int extension_register(struct fixture *fixture, struct extension *extension,
                              const char *events)
{
    char text[512];
    const char *id = NULL;
    int status = 0;
    extension_open(fixture, extension);
    snprintf(text, sizeof(text),
             "POST /2020-01-01/extension/register HTTP/1.1\r\nHost: x\r\n"
             "Lambda-Extension-Name: mine\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(events), events);
    status = extension_call(extension, text);
    id = strstr(extension->box.answer, "Lambda-Extension-Identifier: ");
    if (id)
        snprintf(extension->id, 37, "%s", id + strlen("Lambda-Extension-Identifier: "));
    return status;
}

static void extension_next(struct extension *extension)
{
    char text[256];
    snprintf(text, sizeof(text),
             "GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: x\r\n"
             "Lambda-Extension-Identifier: %s\r\n\r\n",
             extension->id);
    fake_box_send(&extension->box, text);
}

static void a_call_waits_for_the_extensions_and_tells_them(void **state)
{
    struct fixture *fixture = *state;
    struct extension told, silent;
    start(fixture);
    assert_int_equal(extension_register(fixture, &told, "{\"events\":[\"INVOKE\"]}"), 200);
    expect_in(told.box.answer,
              "{\"functionName\":\"f\",\"functionVersion\":\"$LATEST\",\"handler\":\"h\"}");
    assert_int_equal(extension_register(fixture, &silent, "{\"events\":[]}"), 200);
    fake_box_send(&fixture->box, FAKE_NEXT);
    extension_next(&silent);
    fake_turns(&fixture->spawn);
    assert_string_equal(instance_state_name(fixture->instance), "INIT"); /* one is missing */
    extension_next(&told);
    fake_wait_flag(&fixture->spawn, &fixture->told.idle);
    fake_expect(&fixture->spawn, SPAWN_INIT_DONE, NULL, 0);
    invoke(fixture, "{}");
    assert_int_equal(fake_box_answer(&told.box), 200);
    expect_in(told.box.answer, "Lambda-Extension-Event-Identifier: ");
    expect_in(told.box.answer, "{\"eventType\":\"INVOKE\",\"deadlineMs\":1");
    expect_in(
        told.box.answer,
        "\"requestId\":\"" ID "\",\"invokedFunctionArn\":\"arn:aws:lambda:us-east-1:"
        "000000000000:function:f\",\"tracing\":{\"type\":\"X-Amzn-Trace-Id\",\"value\":\"Root");
    assert_int_equal(fake_box_answer(&fixture->box), 200);
    assert_int_equal(call_post(fixture, "invocation/" ID "/response", "", "1"), 202);
    assert_int_equal(fixture->told.answered, 1); /* the caller does not wait for extensions */
    fixture->told.idle = 0;
    fake_box_send(&fixture->box, FAKE_NEXT);
    fake_turns(&fixture->spawn);
    assert_string_equal(instance_state_name(fixture->instance), "SETTLING");
    extension_next(&told);
    fake_wait_flag(&fixture->spawn, &fixture->told.idle);
    /* One that leaves while it waits makes the instance unready. */
    fake_box_hang_up(&told.box);
    fake_wait_flag(&fixture->spawn, &fixture->told.unready);
    assert_string_equal(instance_state_name(fixture->instance), "SETTLING");
    fake_box_hang_up(&silent.box);
}

static void what_extensions_may_not_do_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct extension extension;
    start(fixture);
    assert_int_equal(extension_register(fixture, &extension, "{\"events\":[\"SHUTDOWN\"]}"), 403);
    expect_in(extension.box.answer, "Extension.InvalidEventType");
    fake_box_hang_up(&extension.box);
    assert_int_equal(extension_register(fixture, &extension, "[]"), 400);
    expect_in(extension.box.answer, "InvalidRequestFormat");
    assert_int_equal(extension_call(&extension, "GET /2020-01-01/extension/event/next HTTP/1.1\r\n"
                                                "Host: x\r\n\r\n"),
                     403);
    expect_in(extension.box.answer, "Extension.MissingExtensionIdentifier");
    snprintf(extension.id, sizeof(extension.id), "x");
    extension_next(&extension);
    assert_int_equal(fake_box_answer(&extension.box), 403);
    expect_in(extension.box.answer, "Extension.InvalidExtensionIdentifier");
    snprintf(extension.id, sizeof(extension.id), "%s", ID);
    extension_next(&extension);
    assert_int_equal(fake_box_answer(&extension.box), 403);
    expect_in(extension.box.answer, "Extension.UnknownExtensionIdentifier");
    fake_box_hang_up(&extension.box);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(extension_register(fixture, &extension, "{\"events\":[]}"), 200);
        fake_box_hang_up(&extension.box);
    }
    assert_int_equal(extension_register(fixture, &extension, "{\"events\":[]}"), 403);
    expect_in(extension.box.answer, "Extension.TooManyExtensions");
    fake_box_hang_up(&extension.box);
}

static void registration_closes_with_the_first_next(void **state)
{
    struct fixture *fixture = *state;
    struct extension extension;
    make_idle(fixture);
    assert_int_equal(extension_register(fixture, &extension, "{\"events\":[]}"), 403);
    expect_in(extension.box.answer, "Extension.RegistrationClosed");
    fake_box_hang_up(&extension.box);
}

static void an_extension_s_error_ends_the_instance(void **state)
{
    struct fixture *fixture = *state;
    struct extension extension;
    char text[256];
    start(fixture);
    assert_int_equal(extension_register(fixture, &extension, "{\"events\":[]}"), 200);
    snprintf(text, sizeof(text),
             "POST /2020-01-01/extension/init/error HTTP/1.1\r\nHost: x\r\n"
             "Lambda-Extension-Identifier: %s\r\nContent-Length: 0\r\n"
             "Lambda-Extension-Function-Error-Type: Extension.NoConfig\r\n\r\n",
             extension.id);
    assert_int_equal(extension_call(&extension, text), 202);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->box.id);
    fake_box_hang_up(&extension.box);
    fake_box_exit(&fixture->box, SIGKILL, SPAWN_EXIT_KILLED, 0);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
    assert_true(fixture->told.is_init_failure);
    assert_string_equal(fixture->told.type, "Extension.InitError");
    expect_in(fixture->told.payload, "Error: Extension.NoConfig");
}

static void a_slow_caller_stops_the_runtime(void **state)
{
    struct fixture *fixture = *state;
    static char chunk[16 + 65536];
    size_t sent = 0, before = 0;
    make_streaming(fixture);
    fixture->told.is_slow = true;
    fake_box_send(&fixture->box, STREAM_HEAD);
    memset(chunk, 'x', sizeof(chunk));
    memcpy(chunk, "10000\r\n", 7);
    memcpy(chunk + 7 + 65536, "\r\n", 2);
    /* Until the kernel takes no more: nothing of it is piled up in the service. */
    for (int full = 0; full < 100;) {
        ssize_t n = send(fixture->box.http_fd, chunk + sent % 65545, 65545 - sent % 65545,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t) n : 0;
        full = n > 0 ? 0 : full + 1;
        fake_turns(&fixture->spawn);
    }
    before = fixture->told.bytes;
    assert_true(before <= 2 * 65536);
    assert_true(sent > before);
    instance_stream_resume(fixture->instance);
    fake_turns(&fixture->spawn);
    assert_true(fixture->told.bytes > before);
    fixture->told.is_slow = false;
    instance_stream_resume(fixture->instance);
    fake_box_send_bytes(&fixture->box, chunk + sent % 65545, 65545 - sent % 65545);
    assert_int_equal(fake_box_call(&fixture->box, "0\r\n\r\n"), 202);
    assert_int_equal(fixture->told.answered, 1);
    assert_int_equal(fixture->told.bytes, (sent / 65545 + 1) * 65536);
}

static void a_slow_caller_gets_what_an_instance_wrote_before_its_end(void **state)
{
    struct fixture *fixture = *state;
    make_streaming(fixture);
    fixture->told.is_slow = true;
    fake_box_send(&fixture->box, STREAM_HEAD "5\r\nhello\r\n");
    fake_wait_flag(&fixture->spawn, &fixture->told.pieces);
    fake_box_send(&fixture->box, "5\r\nworld\r\n0\r\n\r\n");
    fake_box_exit(&fixture->box, 0, 0, 0);
    for (int i = 0; i < 400; i++) { /* longer than the turns that an end is waited for */
        poll(NULL, 0, 1);
        fake_turns(&fixture->spawn);
    }
    assert_int_equal(fixture->told.answered, 0);
    fixture->told.is_slow = false;
    instance_stream_resume(fixture->instance);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
    assert_int_equal(fixture->told.answered, 1);
    assert_false(fixture->told.is_error);
    assert_int_equal(fixture->told.bytes, 10);
}

static void a_next_behind_the_last_response_makes_nothing_ready(void **state)
{
    struct fixture *fixture = *state;
    make_streaming(fixture);
    fixture->told.idle = 0;
    fixture->told.is_slow = true;
    fake_box_send(&fixture->box, STREAM_HEAD "5\r\nhello\r\n");
    fake_wait_flag(&fixture->spawn, &fixture->told.pieces);
    fake_box_send(&fixture->box, "0\r\n\r\n" FAKE_NEXT);
    fake_box_exit(&fixture->box, 0, 0, 0);
    fake_turns(&fixture->spawn);
    fixture->told.is_slow = false;
    instance_stream_resume(fixture->instance);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
    assert_int_equal(fixture->told.answered, 1);
    assert_false(fixture->told.is_error);
    assert_int_equal(fixture->told.idle, 0);
}

static void a_stream_that_breaks_off_is_truncated(void **state)
{
    struct fixture *fixture = *state;
    make_streaming(fixture);
    fake_box_send(&fixture->box, STREAM_HEAD "5\r\nhello\r\n");
    fake_wait_flag(&fixture->spawn, &fixture->told.pieces);
    fake_box_hang_up(&fixture->box);
    fake_wait_flag(&fixture->spawn, &fixture->told.answered);
    assert_true(fixture->told.is_error);
    assert_string_equal(fixture->told.type, "Runtime.TruncatedResponse");
    assert_string_equal(instance_state_name(fixture->instance), "SETTLING");
}

static void a_stream_whose_time_is_up_ends(void **state)
{
    struct fixture *fixture = *state;
    fixture->request.timeout_ms = 20;
    make_streaming(fixture);
    fake_box_send(&fixture->box, STREAM_HEAD "5\r\nhello\r\n");
    fake_wait_flag(&fixture->spawn, &fixture->told.answered);
    assert_string_equal(fixture->told.type, "Sandbox.Timedout");
    size_t bytes = fixture->told.bytes;
    fake_box_send(&fixture->box, "5\r\nhello\r\n");
    fake_turns(&fixture->spawn);
    assert_int_equal(fixture->told.bytes, bytes); /* nobody is given what comes late */
}

static void a_plain_response_past_the_limit_fails_a_stream(void **state)
{
    struct fixture *fixture = *state;
    char head[256];
    make_streaming(fixture);
    snprintf(head, sizeof(head),
             "POST /2018-06-01/runtime/invocation/" ID "/response HTTP/1.1\r\nHost: x\r\n"
             "Content-Length: %d\r\n\r\n",
             LIMIT_RESPONSE_SYNC_MAX + 1);
    fake_box_send(&fixture->box, head);
    assert_int_equal(fake_box_answer(&fixture->box), 413);
    assert_int_equal(fixture->told.begun, 0);
    assert_string_equal(fixture->told.type, "Function.ResponseSizeTooLarge");
}

static void a_response_past_the_limit_fails_the_call(void **state)
{
    struct fixture *fixture = *state;
    char head[256];
    make_busy(fixture);
    snprintf(head, sizeof(head),
             "POST /2018-06-01/runtime/invocation/" ID "/response HTTP/1.1\r\nHost: x\r\n"
             "Content-Length: %d\r\n\r\n",
             LIMIT_RESPONSE_SYNC_MAX + 1);
    fake_box_send(&fixture->box, head);
    assert_int_equal(fake_box_answer(&fixture->box), 413);
    expect_in(fixture->box.answer, "Exceeded maximum allowed payload size (6291556 bytes).");
    assert_string_equal(fixture->told.type, "Function.ResponseSizeTooLarge");
    assert_string_equal(
        fixture->told.payload,
        "{\"errorType\":\"Function.ResponseSizeTooLarge\",\"errorMessage\":\"Response "
        "payload size (6291557 bytes) exceeded maximum allowed payload size (6291556 "
        "bytes).\"}");
    /* The runtime may still post an error for that id; nobody hears of it. */
    fake_box_hang_up(&fixture->box);
    assert_int_equal(call_post(fixture, "invocation/" ID "/error", "", "{}"), 202);
    assert_int_equal(fixture->told.answered, 1);
}

static void a_response_at_the_limit_is_passed_on(void **state)
{
    struct fixture *fixture = *state;
    char head[256];
    char *body = malloc(LIMIT_RESPONSE_SYNC_MAX);
    make_busy(fixture);
    memset(body, ' ', LIMIT_RESPONSE_SYNC_MAX);
    snprintf(head, sizeof(head),
             "POST /2018-06-01/runtime/invocation/" ID "/response HTTP/1.1\r\nHost: x\r\n"
             "Content-Length: %d\r\n\r\n",
             LIMIT_RESPONSE_SYNC_MAX);
    fake_box_send(&fixture->box, head);
    fake_box_send_bytes(&fixture->box, body, LIMIT_RESPONSE_SYNC_MAX);
    assert_int_equal(fake_box_answer(&fixture->box), 202);
    assert_int_equal(fixture->told.answered, 1);
    assert_false(fixture->told.is_error);
    free(body);
}

static void garbage_on_the_runtime_api_is_refused(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(fake_box_call(&fixture->box, "\x16\x03\x01 not http\r\n\r\n"), 400);
    fake_box_hang_up(&fixture->box);
    assert_int_equal(call_post(fixture, "invocation/" ID "/response", "", "{}"), 202);
    assert_string_equal(fixture->told.payload, "{}");
}

static void an_init_error_ends_the_instance(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    assert_int_equal(call_post(fixture, "init/error",
                               "Lambda-Runtime-Function-Error-Type: Runtime.ImportModuleError\r\n",
                               "{\"errorMessage\":\"no module\",\"errorType\":\"X\"}"),
                     202);
    assert_string_equal(instance_state_name(fixture->instance), "ENDING");
    fake_box_exit(&fixture->box, 1 << 8, 0, 0);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
    assert_true(fixture->told.is_init_failure);
    assert_false(fixture->told.is_sandbox_fault);
    assert_string_equal(fixture->told.type, "Runtime.ImportModuleError");
    assert_string_equal(fixture->told.payload,
                        "{\"errorMessage\":\"no module\",\"errorType\":\"X\"}");
    expect_in(fixture->told.tail, "INIT_REPORT Init Duration: ");
    expect_in(fixture->told.tail,
              "\tPhase: init\tStatus: error\tError Type: Runtime.ImportModuleError\t\n");
    expect_in(fixture->told.tail, "END RequestId: " ID "\n");
}

static void a_runtime_that_stays_after_its_init_error_is_killed(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    assert_int_equal(call_post(fixture, "init/error", "", "{}"), 202);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->box.id);
    fake_box_exit(&fixture->box, SIGKILL, SPAWN_EXIT_KILLED, 0);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
    assert_string_equal(fixture->told.type, "Runtime.Unknown");
}

static void init_error_after_next_is_refused(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(call_post(fixture, "init/error", "", "{}"), 403);
    expect_in(fixture->box.answer, "State transition from Running to InitError failed");
}

static void a_response_that_was_posted_before_the_end_counts(void **state)
{
    struct fixture *fixture = *state;
    char text[512];
    make_busy(fixture);
    post(text, sizeof(text), "invocation/" ID "/response", "", "{\"last\":1}");
    /* Both are there before the loop looks. */
    assert_int_equal(send(fixture->box.http_fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    fake_box_exit(&fixture->box, 0, 0, 0);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
    assert_int_equal(fixture->told.answered, 1);
    assert_false(fixture->told.is_error);
    assert_string_equal(fixture->told.payload, "{\"last\":1}");
}

static void a_stop_while_the_end_is_waited_for_ends_it(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    fake_box_exit(&fixture->box, 0, 0, 0);
    loop_run_once(fixture->loop, false);
    if (fixture->instance)
        instance_stop(fixture->instance);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
    assert_int_equal(fixture->told.answered, 1);
    fixture->box.id = 0;
}

struct end {
    int status;
    uint32_t flags, exec_errno;
    const char *type, *text;
};

static const struct end ends[] = {
    {1 << 8, 0, 0, "Runtime.ExitError", "Runtime exited with error: exit status 1"},
    {0, 0, 0, "Runtime.ExitError", "Runtime exited without providing a reason"},
    {SIGSEGV, 0, 0, "Runtime.ExitError", "Runtime exited with error: signal: segmentation fault"},
    {SIGABRT | 0x80, 0, 0, "Runtime.ExitError", "Runtime exited with error: signal: aborted"},
    {SIGKILL, SPAWN_EXIT_OOM, 0, "Runtime.OutOfMemory",
     "Runtime exited with error: signal: killed"},
};

static void a_crash_during_a_call_is_told(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct fixture *fixture = NULL;
        char expected[512];
        if (i > 0) {
            teardown(state);
            setup(state);
        }
        fixture = *state;
        make_busy(fixture);
        fake_box_print(&fixture->box, "last words");
        fake_box_exit(&fixture->box, ends[i].status, ends[i].flags, 0);
        fake_wait_flag(&fixture->spawn, &fixture->told.ended);
        assert_int_equal(fixture->told.answered, 1);
        assert_false(fixture->told.is_init_failure);
        snprintf(expected, sizeof(expected),
                 "{\"errorType\":\"%s\",\"errorMessage\":\"RequestId: " ID " Error: %s\"}",
                 ends[i].type, ends[i].text);
        assert_string_equal(fixture->told.payload, expected);
        expect_in(fixture->told.tail, "last words\n");
        snprintf(expected, sizeof(expected),
                 "RequestId: " ID " Error: %s\n%s\nEND RequestId: ", ends[i].text, ends[i].type);
        expect_in(fixture->told.tail, expected);
        expect_in(fixture->told.tail, "Max Memory Used: 6 MB\t");
    }
}

static const struct end entrypoints[] = {
    {127 << 8, 0, ENOENT, "Runtime.InvalidEntrypoint",
     "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"},
    {127 << 8, 0, ENOEXEC, "Runtime.InvalidEntrypoint",
     "fork/exec /var/task/bootstrap: exec format error"},
    {127 << 8, 0, EACCES, "Runtime.InvalidEntrypoint",
     "fork/exec /var/task/bootstrap: permission denied"},
    {2 << 8, 0, 0, "Runtime.ExitError", "Runtime exited with error: exit status 2"},
};

static void a_bootstrap_that_cannot_run_is_told(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(entrypoints); i++) {
        struct fixture *fixture = NULL;
        char expected[512];
        if (i > 0) {
            teardown(state);
            setup(state);
        }
        fixture = *state;
        start(fixture);
        fake_box_exit(&fixture->box, entrypoints[i].status, 0, entrypoints[i].exec_errno);
        fake_wait_flag(&fixture->spawn, &fixture->told.ended);
        assert_true(fixture->told.is_init_failure);
        snprintf(expected, sizeof(expected),
                 "{\"errorType\":\"%s\",\"errorMessage\":\"RequestId: " ID " Error: %s\"}",
                 entrypoints[i].type, entrypoints[i].text);
        assert_string_equal(fixture->told.payload, expected);
    }
}

static void a_call_that_takes_too_long_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    fixture->request.timeout_ms = 10;
    make_idle(fixture);
    invoke(fixture, "{}");
    fake_box_print(&fixture->box, "working on it");
    fake_wait_flag(&fixture->spawn, &fixture->told.answered);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->box.id);
    assert_string_equal(fixture->told.payload,
                        "{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"RequestId: " ID
                        " Error: Task timed out after 0.01 seconds\"}");
    expect_in(fixture->told.tail, "working on it\n");
    expect_in(fixture->told.tail, "Z " ID " Task timed out after 0.01 seconds\nEND RequestId: ");
    expect_in(fixture->told.tail, "\tDuration: 10.00 ms\t");
    expect_in(fixture->told.tail, "\tStatus: timeout\n");
    assert_string_equal(instance_state_name(fixture->instance), "ENDING");
}

static void an_init_phase_that_takes_too_long_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    struct instance_spec spec = a_spec();
    spec.init_limit_ms = 10;
    spec.is_init_repeated = true;
    start_with(fixture, spec);
    fake_box_expect(&fixture->spawn, &fixture->box);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->box.id);
    fake_box_exit(&fixture->box, SIGKILL, SPAWN_EXIT_KILLED, 0);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
    assert_true(fixture->told.is_init_failure);
    assert_string_equal(fixture->told.type, "Sandbox.Timedout");
    expect_in(fixture->told.tail, "\tPhase: invoke\tStatus: timeout\t\n");
}

static void no_sandbox_is_no_fault_of_the_function(void **state)
{
    struct fixture *fixture = *state;
    start_with(fixture, a_spec());
    fake_box_fail(&fixture->spawn, fake_expect(&fixture->spawn, SPAWN_START, NULL, 0),
                  SPAWN_STEP_CGROUP, ENOSPC);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
    assert_true(fixture->told.is_sandbox_fault);
    expect_in(fixture->told.payload, "no sandbox: step cgroup: No space left on device");
}

static void too_large_an_environment_is_told(void **state)
{
    struct fixture *fixture = *state;
    char value[SPAWN_ENV_MAX];
    const struct instance_variable variables[] = {{"BIG", value}};
    struct instance_spec spec = a_spec();
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    spec.variables = variables;
    spec.n_variables = 1;
    start_with(fixture, spec);
    assert_int_equal(fixture->told.ended, 0);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
    assert_true(fixture->told.is_sandbox_fault);
}

static void a_frozen_instance_is_thawed_by_a_call(void **state)
{
    struct fixture *fixture = *state;
    make_idle(fixture);
    instance_freeze(fixture->instance);
    assert_true(instance_is_frozen(fixture->instance));
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_FREEZE, NULL, 0), fixture->box.id);
    invoke(fixture, "{}");
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_THAW, NULL, 0), fixture->box.id);
    assert_int_equal(fake_box_answer(&fixture->box), 200);
    assert_int_equal(call_post(fixture, "invocation/" ID "/response", "", "1"), 202);
    assert_string_equal(fixture->told.payload, "1");
}

static void a_runtime_that_hangs_up_is_given_nothing(void **state)
{
    struct fixture *fixture = *state;
    make_idle(fixture);
    fake_box_hang_up(&fixture->box);
    fake_wait_flag(&fixture->spawn, &fixture->told.unready);
    assert_string_equal(instance_state_name(fixture->instance), "SETTLING");
    fixture->told.idle = 0;
    fake_box_send(&fixture->box, FAKE_NEXT);
    fake_wait_flag(&fixture->spawn, &fixture->told.idle);
    assert_string_equal(instance_state_name(fixture->instance), "IDLE");
}

static void a_frozen_runtime_that_hangs_up_is_thawed(void **state)
{
    struct fixture *fixture = *state;
    make_idle(fixture);
    instance_freeze(fixture->instance);
    fake_expect(&fixture->spawn, SPAWN_FREEZE, NULL, 0);
    fake_box_hang_up(&fixture->box); /* it was just about to, when it was frozen */
    fake_wait_flag(&fixture->spawn, &fixture->told.unready);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_THAW, NULL, 0), fixture->box.id);
    fixture->told.idle = 0;
    fake_box_send(&fixture->box, FAKE_NEXT);
    fake_wait_flag(&fixture->spawn, &fixture->told.idle);
    assert_string_equal(instance_state_name(fixture->instance), "IDLE");
}

static void stop_ends_a_call(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    instance_stop(fixture->instance);
    assert_int_equal(fixture->told.answered, 1);
    assert_string_equal(fixture->told.type, "Sandbox.Failure");
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), fixture->box.id);
}

static void stop_before_started_kills_what_comes(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = 0;
    start_with(fixture, a_spec());
    id = fake_expect(&fixture->spawn, SPAWN_START, NULL, 0);
    instance_stop(fixture->instance);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), id);
    fake_box_start(&fixture->spawn, &fixture->box, id);
    assert_int_equal(fake_expect(&fixture->spawn, SPAWN_KILL, NULL, 0), id);
    fake_box_exit(&fixture->box, SIGKILL, SPAWN_EXIT_KILLED, 0);
    fake_wait_flag(&fixture->spawn, &fixture->told.ended);
}

static void phases_of_the_runtime_are_believed_within_reason(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    fake_box_send(&fixture->box, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n"
                                 "Lamina-Init-Phases: load=0.002;warm=3599999;other=;junk\r\n\r\n");
    fake_wait_flag(&fixture->spawn, &fixture->told.idle);
    assert_int_equal(instance_load_us(fixture->instance), 0); /* warm took all there was */
    assert_true(instance_warm_us(fixture->instance) < FAKE_DEADLINE_MS * UINT64_C(1000));
    fake_expect(&fixture->spawn, SPAWN_INIT_DONE, NULL, 0);
}

static void the_model_digest_is_passed_on(void **state)
{
    struct fixture *fixture = *state;
    make_busy(fixture);
    assert_int_equal(
        call_post(fixture, "invocation/" ID "/response",
                  "Lamina-Model-Digest: "
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
                  "{}"),
        202);
    assert_int_equal(strlen(fixture->told.digest), 64);
    expect_in(fixture->told.tail, "\tModel Digest: aaaa");
}

static void a_big_cause_header_is_accepted(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 1 << 20;
    char *cause = malloc(size);
    make_busy(fixture);
    memset(cause, 'c', size);
    fake_box_send(&fixture->box,
                  "POST /2018-06-01/runtime/invocation/" ID "/error HTTP/1.1\r\nHost: x\r\n"
                  "Lambda-Runtime-Function-XRay-Error-Cause: ");
    fake_box_send_bytes(&fixture->box, cause, size);
    fake_box_send(&fixture->box, "\r\nContent-Length: 2\r\n\r\n{}");
    assert_int_equal(fake_box_answer(&fixture->box), 202);
    assert_true(fixture->told.is_error);
    free(cause);
}

static void a_flood_of_logs_is_cut_and_counted(void **state)
{
    struct fixture *fixture = *state;
    char line[1024];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 2] = '\n';
    line[sizeof(line) - 1] = '\0';
    make_busy(fixture);
    /* More than the burst, faster than the allowance grows: the loop's clock stands still between turns. */
    for (int i = 0; i < 6 * 1024; i++)
        while (write(fixture->box.log_fd, line, strlen(line)) < 0)
            fake_turns(&fixture->spawn);
    assert_int_equal(call_post(fixture, "invocation/" ID "/response", "", "{}"), 202);
    expect_in(fixture->told.tail, "LOGS_DROPPED Lines: ");
    assert_true(instance_log_lines_dropped(fixture->instance) > 0);
    assert_true(strlen(fixture->told.tail) <= 4096);
}

/* Not read faster than one pipe in a pause, however often the loop turns: the function waits, nobody else. */
static void a_flood_of_logs_waits_for_its_reader(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t pipe_bytes = 64 * 1024, burst_pipes = LOG_STREAM_BURST_BYTES / pipe_bytes;
    char line[4096];
    uint64_t taken = 0, pipes = 0;
    int64_t start_ms = 0;
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    make_busy(fixture);
    start_ms = clock_monotonic_ms();
    for (int turn = 0; turn < 2000; turn++) {
        ssize_t written;
        while ((written = write(fixture->box.log_fd, line, sizeof(line))) > 0)
            taken += (uint64_t) written;
        fake_turns(&fixture->spawn);
    }
    /* The burst, what the pipe holds, and each begun millisecond's. */
    pipes =
        burst_pipes + 4 + (uint64_t) (clock_monotonic_ms() - start_ms + 1) / LOG_STREAM_PAUSE_MS;
    assert_true(taken > LOG_STREAM_BURST_BYTES);
    assert_true(taken <= pipes * pipe_bytes);
    assert_int_equal(call_post(fixture, "invocation/" ID "/response", "", "{}"), 202);
    expect_in(fixture->told.tail, "LOGS_DROPPED Lines: ");
}

static void the_end_of_spawn_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    fake_spawn_close(&fixture->spawn);
    fake_wait_flag(&fixture->spawn, &fixture->told.lost);
    fake_turns(&fixture->spawn);
    assert_int_equal(fixture->told.lost, 1);
    assert_false(instance_host_is_connected(fixture->host));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(start_carries_the_environment),
        TEST(next_carries_every_header),
        TEST(next_leaves_out_what_is_empty),
        TEST(a_call_is_answered_and_logged),
        TEST(an_error_goes_to_the_caller_unchanged),
        TEST(a_free_text_error_type_becomes_unknown),
        TEST(the_cause_for_x_ray_is_taken_off),
        TEST(posts_for_other_ids_are_refused),
        TEST(next_while_busy_is_refused),
        TEST(unknown_routes_and_modes_are_refused),
        TEST(a_streamed_response_is_collected),
        TEST(a_streamed_response_is_passed_on_as_it_comes),
        TEST(a_plain_response_is_passed_on_to_a_stream_too),
        TEST(an_error_in_the_trailers_ends_a_stream),
        TEST(an_error_in_the_trailers_fails_a_collected_response),
        TEST(trailers_that_are_no_error_are_passed_over),
        TEST(a_call_waits_for_the_extensions_and_tells_them),
        TEST(what_extensions_may_not_do_is_refused),
        TEST(registration_closes_with_the_first_next),
        TEST(an_extension_s_error_ends_the_instance),
        TEST(a_slow_caller_stops_the_runtime),
        TEST(a_slow_caller_gets_what_an_instance_wrote_before_its_end),
        TEST(a_next_behind_the_last_response_makes_nothing_ready),
        TEST(a_stream_that_breaks_off_is_truncated),
        TEST(a_stream_whose_time_is_up_ends),
        TEST(a_plain_response_past_the_limit_fails_a_stream),
        TEST(a_response_past_the_limit_fails_the_call),
        TEST(a_response_at_the_limit_is_passed_on),
        TEST(garbage_on_the_runtime_api_is_refused),
        TEST(an_init_error_ends_the_instance),
        TEST(a_runtime_that_stays_after_its_init_error_is_killed),
        TEST(init_error_after_next_is_refused),
        TEST(a_response_that_was_posted_before_the_end_counts),
        TEST(a_stop_while_the_end_is_waited_for_ends_it),
        TEST(a_crash_during_a_call_is_told),
        TEST(a_bootstrap_that_cannot_run_is_told),
        TEST(a_call_that_takes_too_long_is_cut_off),
        TEST(an_init_phase_that_takes_too_long_is_cut_off),
        TEST(no_sandbox_is_no_fault_of_the_function),
        TEST(too_large_an_environment_is_told),
        TEST(a_frozen_instance_is_thawed_by_a_call),
        TEST(a_runtime_that_hangs_up_is_given_nothing),
        TEST(a_frozen_runtime_that_hangs_up_is_thawed),
        TEST(stop_ends_a_call),
        TEST(stop_before_started_kills_what_comes),
        TEST(phases_of_the_runtime_are_believed_within_reason),
        TEST(the_model_digest_is_passed_on),
        TEST(a_big_cause_header_is_accepted),
        TEST(a_flood_of_logs_is_cut_and_counted),
        TEST(a_flood_of_logs_waits_for_its_reader),
        TEST(the_end_of_spawn_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
