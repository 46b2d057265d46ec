/* SPDX-License-Identifier: MIT */

#include "api/s3_call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/rights.h"
#include "aws/xml.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/percent.h"
#include "api/s3_proof.h"

#define ARN_BYTES_MAX 2048

/* ---- Which requests are S3's */

static bool has_scope(struct str credential, const char *mark)
{
    return credential.size && memmem(credential.data, credential.size, mark, strlen(mark));
}

static bool is_signed_by_query(struct str query)
{
    struct str pair;
    while (query.size > 0) {
        (void) str_cut(query, '&', &pair, &query);
        if (str_has_prefix(pair, STR("AWSAccessKeyId=")))
            return true;
        if (str_has_prefix(pair, STR("X-Amz-Credential=")))
            return has_scope(pair, "%2Fs3%2Faws4_request") || has_scope(pair, "/s3/aws4_request") ||
                   has_scope(pair, "%2fs3%2faws4_request");
    }
    return false;
}

/* Paths of AWS's JSON services begin with a date; of ours with our name. */
static bool is_path_of_others(struct str path)
{
    return str_has_prefix(path, STR("/20")) || str_has_prefix(path, STR("/lamina/"));
}

bool s3_call_is(const struct http_request *request)
{
    struct str authorization = http_request_header(request, "authorization");
    if (str_has_prefix(authorization, STR("AWS "))) /* version 2 names no service */
        return !is_path_of_others(request->path);
    if (authorization.data)
        return has_scope(authorization, "/s3/aws4_request");
    return is_signed_by_query(request->query);
}

bool s3_call_is_anonymous(const struct http_request *request)
{
    return !http_request_header(request, "authorization").data &&
           !is_signed_by_query(request->query) && request->path.size > 1 &&
           !is_path_of_others(request->path);
}

/* ---- The request */

struct str s3_header(const struct s3_call *s3, const char *name)
{
    for (size_t i = 0; i < s3->header_count; i++)
        if (str_equal_text(s3->headers[i].name, name))
            return s3->headers[i].value;
    return (struct str){0};
}

int s3_query(struct s3_call *s3, const char *name, struct str *ret_value)
{
    int r = route_query(s3->query, name, &s3->arena, ret_value);
    if (r == -ENOMEM)
        return s3_error_memory(s3);
    if (r < 0 || (ret_value->data && !str_is_utf8(*ret_value)))
        return s3_error(s3, AWS_S3_INVALID_ARGUMENT, "The parameter '%s' is not well-formed", name);
    return 0;
}

/* As route_query() reads them: which right is asked for must not hang on how a name is written. */
static bool is_name(struct str key, const char *name)
{
    char decoded[96];
    if (key.size > sizeof(decoded)) /* three bytes for each of the longest name's at most */
        return false;
    ptrdiff_t size = percent_decode(key, false, decoded);
    return size >= 0 && str_equal_text(str_of_data(decoded, (size_t) size), name);
}

bool s3_has_query(const struct s3_call *s3, const char *name)
{
    struct str query = s3->query, pair, key, value;
    while (query.size > 0) {
        (void) str_cut(query, '&', &pair, &query);
        (void) str_cut(pair, '=', &key, &value);
        if (is_name(key, name))
            return true;
    }
    return false;
}

/* "models.s3.example.org:4566", "models.localhost:4566": the bucket; "": path style. */
static struct str bucket_of_host(struct str host)
{
    static const char *const ends[] = {".localhost", ".localhost."};
    ptrdiff_t colon = str_find_last(host, ':');
    if (colon >= 0 && str_find(host, ']') < colon)
        host = str_part(host, 0, (size_t) colon);
    for (size_t i = 0; i + 4 <= host.size; i++)
        if (i > 0 && memcmp(host.data + i, ".s3.", 4) == 0)
            return str_part(host, 0, i);
    if (str_has_prefix(host, STR("s3.")))
        return STR("");
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct str end = str_of(ends[i]);
        if (host.size > end.size && str_has_suffix(host, end))
            return str_part(host, 0, host.size - end.size);
    }
    return STR("");
}

static int decode(struct s3_call *s3, struct str text, struct str *ret_text)
{
    char *to = arena_alloc(&s3->arena, text.size + 1);
    if (!to)
        return s3_error_memory(s3);
    ptrdiff_t size = percent_decode(text, false, to);
    struct str decoded = str_of_data(to, size < 0 ? 0 : (size_t) size);
    if (size < 0 || !str_is_utf8(decoded) || str_find(decoded, 0) >= 0)
        return s3_error(s3, AWS_S3_INVALID_URI, "Couldn't parse the specified URI.");
    *ret_text = decoded;
    return 0;
}

static int read_target(struct s3_call *s3, const struct http_request *request)
{
    struct str path = request->path, bucket = bucket_of_host(request->host), key;
    if (path.size > 0 && path.data[0] == '/')
        path = str_skip(path, 1);
    if (bucket.size > 0)
        key = path;
    else
        (void) str_cut(path, '/', &bucket, &key);
    int r = decode(s3, bucket, &s3->bucket);
    if (r == 0)
        r = decode(s3, key, &s3->key);
    if (r == 0 && s3->key.size > OBJECTS_KEY_MAX)
        r = s3_error(s3, AWS_S3_KEY_TOO_LONG, "Your key is too long");
    return r;
}

static int copy_request(struct s3_call *s3, const struct http_request *request)
{
    struct arena *arena = &s3->arena;
    size_t count = request->header_count;
    s3->method = request->method;
    s3->query = arena_copy_str(arena, request->query);
    s3->resource = arena_copy_str(arena, request->path);
    s3->headers = arena_alloc(arena, (count + 1) * sizeof(s3->headers[0]));
    for (size_t i = 0; s3->headers && i < count; i++) {
        s3->headers[i].name = arena_copy_str(arena, request->headers[i].name);
        s3->headers[i].value = arena_copy_str(arena, request->headers[i].value);
        s3->header_count++;
    }
    return arena_is_exhausted(arena) ? s3_error_memory(s3) : 0;
}

/* ---- Errors */

int s3_error(struct s3_call *s3, enum aws_error_code code, const char *format, ...)
{
    char text[AWS_ERROR_MESSAGE_MAX];
    va_list values;
    va_start(values, format);
    (void) vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    return aws_error_set(&s3->error, code, "%s", text);
}

int s3_error_memory(struct s3_call *s3)
{
    return s3_error(s3, AWS_S3_SLOW_DOWN, "Please reduce your request rate.");
}

int s3_error_internal(struct s3_call *s3, const char *event, const struct error *err)
{
    if (err->code == -EAGAIN || err->code == -ENOMEM)
        return s3_error_memory(s3);
    log_error(event, "request=%s error=%s", s3->request_id, LOG_TEXT(err->text));
    if (err->code == -ENOSPC || err->code == -EDQUOT)
        return s3_error(s3, AWS_S3_NO_SPACE, "The disk of this service is full.");
    return s3_error(s3, AWS_S3_INTERNAL, "The service failed; its log names request %s.",
                    s3->request_id);
}

int s3_error_bucket(struct s3_call *s3)
{
    return s3_error(s3, AWS_S3_NO_SUCH_BUCKET, "The specified bucket does not exist");
}

int s3_error_key(struct s3_call *s3)
{
    return s3_error(s3, AWS_S3_NO_SUCH_KEY, "The specified key does not exist.");
}

int s3_bucket(struct s3_call *s3, struct objects_bucket *ret_bucket)
{
    struct error err = {0};
    int r = objects_bucket_get(s3_objects(s3->s3), s3->bucket, ret_bucket, &err);
    if (r == -ENOENT)
        return s3_error_bucket(s3);
    return r < 0 ? s3_error_internal(s3, "s3.bucket", &err) : 0;
}

/* ---- Answers */

void s3_answer_header(struct s3_call *s3, const char *name, struct str value)
{
    if (s3->answer_count + 4 > S3_HEADERS_MAX)
        return; /* more than a request can have brought */
    s3->answer_headers[s3->answer_count++] =
        (struct http_header){str_of(name), arena_copy_str(&s3->arena, value)};
}

void s3_answer_printf(struct s3_call *s3, const char *name, const char *format, ...)
{
    char text[512];
    va_list values;
    va_start(values, format);
    (void) vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    s3_answer_header(s3, name, str_of(text));
}

static void s3_call_free(struct s3_call *s3)
{
    if (s3->fd >= 0)
        (void) close(s3->fd); /* read-only: nothing to lose */
    buf_done(&s3->answer);
    buf_done(&s3->kept);
    mem_wipe(&s3->signer, sizeof(s3->signer));
    arena_done(&s3->arena);
    free(s3);
}

static void error_body(const struct s3_call *s3, struct buf *body)
{
    buf_append_text(body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>");
    buf_append_text(body, aws_error_name(s3->error.code));
    buf_append_text(body, "</Code><Message>");
    xml_append(body, str_of(s3->error.message));
    buf_append_text(body, "</Message>");
    buf_append_str(body, s3->error_details);
    buf_append_text(body, "<Resource>");
    xml_append(body, s3->resource);
    buf_printf(body, "</Resource><RequestId>%s</RequestId></Error>", s3->request_id);
}

static void set_body(struct s3_call *s3, struct http_response *response)
{
    /* Of a HEAD the server sends the length only: there is no descriptor. */
    if (s3->has_file && (s3->fd >= 0 || s3->method == HTTP_METHOD_HEAD)) {
        response->body_kind = HTTP_BODY_FILE;
        response->fd = s3->fd;
        response->offset = s3->offset;
        response->size = s3->size;
        s3->fd = -1;
    } else if (s3->answer.size > 0) {
        s3_answer_header(s3, "Content-Type", STR("application/xml"));
        response->body_kind = HTTP_BODY_BUF;
        response->buf = s3->answer;
        buf_init(&s3->answer, S3_ANSWER_MAX);
    }
}

/* Ends the call. */
static void answer(struct s3_call *s3)
{
    struct call *call = s3->call;
    struct http_response response = {.status = s3->status, .body_kind = HTTP_BODY_NONE};
    if (s3->has_dropped)
        s3_dropped(s3->s3);
    set_body(s3, &response);
    s3_answer_header(s3, "x-amz-request-id", str_of(s3->request_id));
    s3_answer_header(s3, "x-amz-id-2", str_of(s3->request_id));
    call->on_gone = NULL;
    call_answer(call, &response, s3->answer_headers, s3->answer_count, S3_HEADERS_MAX);
    s3_call_free(s3);
}

static void fail(struct s3_call *s3)
{
    s3_error_from_auth(&s3->error, s3->is_presigned);
    s3->status = aws_error_status(s3->error.code);
    s3->has_file = false;
    buf_clear(&s3->answer);
    if (s3->status != 304)
        error_body(s3, &s3->answer);
    answer(s3);
}

/* ---- Running */

static void run_job(void *arg)
{
    struct s3_call *s3 = arg;
    s3->status = 200;
    int r = s3->route->run(s3);
    if (r >= 0 && buf_status(&s3->answer) < 0) {
        struct error err = {0};
        (void) error_set(&err, buf_status(&s3->answer), "the answer of %s", s3->route->operation);
        r = s3_error_internal(s3, "s3.answer", &err);
    }
    if (r < 0)
        s3->status = 0;
}

static void job_done(void *arg, int status)
{
    struct s3_call *s3 = arg;
    if (status < 0)
        (void) s3_error(s3, AWS_S3_SLOW_DOWN, "The service is ending.");
    if (status < 0 || s3->status == 0)
        fail(s3);
    else
        answer(s3);
}

static void run(struct s3_call *s3)
{
    if (s3->route->check && s3->route->check(s3) < 0) {
        fail(s3);
        return;
    }
    s3->call->on_gone = NULL; /* finished, whoever waits */
    if (job_submit(s3_jobs(s3->s3), run_job, job_done, s3) < 0) {
        (void) s3_error_memory(s3);
        fail(s3);
    }
}

/* ---- Kept bodies */

static void gone(struct call *call)
{
    struct s3_call *s3 = call->work;
    if (s3->receive) {
        call->on_gone = NULL;
        receive_cancel(s3->receive);
        return;
    }
    s3_call_free(s3);
    call_free(call);
}

static void kept_body(struct http_request *request, int status)
{
    struct call *call = request->user;
    struct s3_call *s3 = call->work;
    int r = 0;
    if (status < 0)
        r = s3_error(s3, AWS_S3_MAX_MESSAGE_LENGTH, "Your request was too big.");
    if (r == 0 && s3->route->body == S3_BODY_XML) {
        s3->kept = http_request_take_body(request);
        r = s3_proof_unframe(s3, &s3->kept);
        s3->body = buf_str(&s3->kept);
        if (r == 0)
            r = s3_proof_check_kept(s3);
    }
    if (r < 0)
        fail(s3);
    else
        run(s3);
}

/* ---- Bodies that become files */

static void resumed(void *arg)
{
    struct s3_call *s3 = arg;
    if (s3->call->request)
        http_request_resume(s3->call->request);
}

static int receive_open_hook(void *arg, int *ret_fd, uint64_t *ret_offset)
{
    struct s3_call *s3 = arg;
    return s3->route->open(s3, ret_fd, ret_offset);
}

static int receive_finish_hook(void *arg, const struct receive_result *result)
{
    struct s3_call *s3 = arg;
    int r = s3_proof_check(s3, result);
    if (r < 0) {
        s3->route->drop(s3);
        return r;
    }
    s3->status = 200;
    return s3->route->finish(s3, result);
}

static void receive_drop_hook(void *arg)
{
    struct s3_call *s3 = arg;
    s3->route->drop(s3);
}

static void received(void *arg, int code, bool is_cancelled)
{
    struct s3_call *s3 = arg;
    s3->receive = NULL;
    if (code == 0) {
        answer(s3);
        return;
    }
    if (code != -EREMOTEIO)
        s3_proof_explain(s3, code);
    fail(s3); /* to nobody, if the client has gone */
}

static void body_data(struct http_request *request, const void *data, size_t size)
{
    struct call *call = request->user;
    struct s3_call *s3 = call->work;
    if (s3->receive && receive_write(s3->receive, data, size))
        http_request_pause(request);
}

static void body_end(struct http_request *request)
{
    struct call *call = request->user;
    struct s3_call *s3 = call->work;
    if (s3->receive)
        receive_end(s3->receive);
}

static const struct http_sink body_sink = {.on_data = body_data, .on_end = body_end};

static void receive_body(struct s3_call *s3)
{
    struct receive_spec spec = {
        .wants_sha256 = s3->proof.has_sha256 || s3->route->needs_sha256,
        .checksum = s3->proof.checksum,
        .has_bytes = s3->proof.has_bytes,
        .bytes = s3->proof.bytes,
        .open = receive_open_hook,
        .finish = receive_finish_hook,
        .drop = receive_drop_hook,
        .resume = resumed,
        .done = received,
        .arg = s3,
    };
    spec.is_chunked = s3_proof_is_chunked(s3, &spec.form);
    spec.signer = &s3->signer;
    if (receive_start(s3->s3, &spec, &s3->receive) < 0) {
        (void) s3_error_memory(s3);
        fail(s3);
        return;
    }
    http_request_stream_body(s3->call->request, &body_sink);
}

static void take_body(struct s3_call *s3)
{
    switch (s3->route->body) {
    case S3_BODY_OBJECT:
        receive_body(s3);
        return;
    case S3_BODY_XML:
    case S3_BODY_NONE:
        http_request_keep_body(s3->call->request, S3_XML_BODY_MAX, kept_body);
        return;
    }
}

/* ---- Routes and rights */

static bool is_match(const struct s3_call *s3, const struct s3_route *route, enum s3_level level)
{
    bool is_method = route->method == s3->method ||
                     (route->method == HTTP_METHOD_GET && s3->method == HTTP_METHOD_HEAD &&
                      route->level == S3_SERVICE);
    return is_method && route->level == level &&
           (!route->parameter || s3_has_query(s3, route->parameter)) &&
           (!route->header || s3_header(s3, route->header).data);
}

static int find_route(struct s3_call *s3)
{
    enum s3_level level = s3->key.size ? S3_OBJECT : s3->bucket.size ? S3_BUCKET : S3_SERVICE;
    for (const struct s3_route *each = s3_routes; each->operation; each++) {
        if (!is_match(s3, each, level))
            continue;
        s3->route = each;
        if (each->run)
            return 0;
        return s3_error(s3, AWS_S3_NOT_IMPLEMENTED, "The operation %s is not implemented by Lamina",
                        each->operation);
    }
    return s3_error(s3, AWS_S3_METHOD_NOT_ALLOWED,
                    "The specified method is not allowed against this resource.");
}

/* IAM has rights of their own for named versions. */
static const char *action_of(struct s3_call *s3)
{
    static const struct {
        const char *action, *on_version;
    } actions[] = {
        {"s3:GetObject", "s3:GetObjectVersion"},
        {"s3:DeleteObject", "s3:DeleteObjectVersion"},
        {"s3:GetObjectTagging", "s3:GetObjectVersionTagging"},
        {"s3:PutObjectTagging", "s3:PutObjectVersionTagging"},
        {"s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"},
        {"s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(actions) && s3_has_query(s3, "versionId"); i++)
        if (strcmp(s3->route->action, actions[i].action) == 0)
            return actions[i].on_version;
    return s3->route->action;
}

static int check_rights(struct s3_call *s3)
{
    AUTO_BUF struct buf arn = BUF_INIT(ARN_BYTES_MAX);
    if (!s3->route->action)
        return 0; /* its check asks */
    if (s3->bucket.size == 0)
        buf_append_text(&arn, "*");
    else
        buf_printf(&arn, "arn:aws:s3:::" STR_FORMAT, STR_ARGUMENTS(s3->bucket));
    if (s3->key.size > 0) {
        buf_append_byte(&arn, '/');
        buf_append_str(&arn, s3->key);
    }
    int r = rights_may(s3->call, action_of(s3), buf_str(&arn));
    if (r < 0)
        s3->error = s3->call->error;
    return r;
}

void s3_call_serve(struct call *call)
{
    struct s3_call *s3 = mem_new(struct s3_call);
    if (!s3) {
        call_fail_with(call, AWS_SERVICE_UNAVAILABLE, "No memory for the request.");
        return;
    }
    s3->call = call;
    s3->s3 = call->api->config.s3;
    s3->region = call->api->region;
    s3->account = call->api->account;
    s3->fd = -1;
    memcpy(s3->request_id, call->request_id, sizeof(s3->request_id));
    arena_init(&s3->arena, S3_ARENA_MAX);
    buf_init(&s3->answer, S3_ANSWER_MAX);
    call->work = s3;
    call->on_gone = gone;
    call->ticket.takes_people = true;
    int r = copy_request(s3, call->request);
    if (r == 0)
        r = s3_proof_begin(s3);
    if (r == 0)
        r = read_target(s3, call->request);
    if (r == 0)
        r = find_route(s3);
    if (r == 0)
        r = check_rights(s3);
    if (r == 0)
        r = s3_proof_read(s3);
    if (r < 0)
        fail(s3);
    else
        take_body(s3);
}
