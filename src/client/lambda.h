// SPDX-License-Identifier: MIT
//
// The operations of the Lambda API that the command line and compare use.
//
// Straight-line blocking calls on a struct client. Errors are those of client_perform and
// client_check, each prefixed with the operation and the function's name.
#ifndef LAMINA_CLIENT_LAMBDA_H
#define LAMINA_CLIENT_LAMBDA_H

#include "base/json.h"
#include "client/client.h"

// A zip of at most this size travels inside the CreateFunction request, as AWS's clients do it;
// a larger one by PUT /lamina/v1/packages/<sha256>, which only Lamina knows.
#define LAMBDA_ZIP_INLINE_BYTES_MAX 52428800u

#define LAMBDA_LAYERS_MAX 5

struct lambda_variable {
    const char *name;
    const char *value;
};

// What a function is besides its code; NULL and 0 are "not said" (AWS's default, or unchanged).
struct lambda_settings {
    const char *runtime;
    const char *handler;
    const char *role;
    const char *description;
    unsigned memory_mb;
    unsigned timeout_s;
    unsigned tmp_mb;
    bool has_variables; // false: leave them as they are
    const struct lambda_variable *variables;
    size_t variable_count;
    const char *layers[LAMBDA_LAYERS_MAX]; // ARNs of layer versions, which replace all layers
    size_t layer_count;                    // 0: not said
    const char *filesystem_arn;            // of an access point; NULL: not said
    const char *filesystem_path;           // where it is mounted
};

// A zip in a seekable file, from its start.
struct lambda_code {
    int fd;
    uint64_t size;
    char sha256_hex[65];
    client_progress progress; // of the upload; NULL: none
    void *progress_arg;
};

struct lambda_function {
    char name[144];
    char arn[256];
    char version[32];
    char runtime[64];
    char handler[160];
    char state[32];
    char update_status[32]; // empty right after a creation
    char reason[512];       // why it failed; empty otherwise
    char reason_code[64];
    char code_sha256[48]; // base64, as the API says it
    char revision_id[40];
    char last_modified[40];
    uint64_t code_bytes;
    unsigned memory_mb;
    unsigned timeout_s;
    unsigned layer_count;
    char layers[LAMBDA_LAYERS_MAX][256]; // ARNs of the layer versions
    char filesystem_arn[256];            // of the access point; empty: none
};

struct lambda_layer {
    char name[144];
    char version_arn[256];
    uint64_t version;
    char code_sha256[48]; // base64
    uint64_t code_bytes;
};

MUST_CHECK int lambda_create(struct client *client, const char *name,
                             const struct lambda_settings *settings, const struct lambda_code *code,
                             struct lambda_function *ret, struct error *err);
MUST_CHECK int lambda_update_code(struct client *client, const char *name,
                                  const struct lambda_code *code, struct lambda_function *ret,
                                  struct error *err);
MUST_CHECK int lambda_update_settings(struct client *client, const char *name,
                                      const struct lambda_settings *settings,
                                      struct lambda_function *ret, struct error *err);
// -ENOENT: there is no such function.
MUST_CHECK int lambda_get(struct client *client, const char *name, struct lambda_function *ret,
                          struct error *err);
MUST_CHECK int lambda_delete(struct client *client, const char *name, struct error *err);

// Publishes a version of a layer.
MUST_CHECK int lambda_publish_layer(struct client *client, const char *layer,
                                    const char *description, const struct lambda_code *code,
                                    struct lambda_layer *ret, struct error *err);
// The newest version. -ENOENT: there is none.
MUST_CHECK int lambda_newest_layer(struct client *client, const char *layer,
                                   struct lambda_layer *ret, struct error *err);

// The newest version below `number`. -ENOENT: there is none.
MUST_CHECK int lambda_earlier_layer(struct client *client, const char *layer, uint64_t number,
                                    uint64_t *ret_number, struct error *err);
MUST_CHECK int lambda_delete_layer(struct client *client, const char *layer, uint64_t version,
                                   struct error *err);

// Sets or (value NULL) takes away one tag.
MUST_CHECK int lambda_tag(struct client *client, const char *arn, const char *key,
                          const char *value, struct error *err);

// Waits until the function is Active and its last update is not in progress.
// Errors: -EREMOTEIO with the service's reason (State or LastUpdateStatus is Failed), -ETIMEDOUT.
MUST_CHECK int lambda_wait(struct client *client, const char *name, unsigned timeout_ms,
                           struct lambda_function *ret, struct error *err);

// Reads one configuration (an element of ListFunctions, or a whole answer); absent members are empty.
void lambda_read_function(yyjson_val *from, struct lambda_function *ret);
MUST_CHECK int lambda_parse_function(struct str text, struct lambda_function *ret,
                                     struct error *err);

struct lambda_call {
    const char *name;
    const char *qualifier; // NULL: none
    const void *payload;
    size_t payload_size;
    bool wants_log_tail;
    bool is_dry_run;
    bool is_event;    // asynchronous: the answer is 202 and empty
    client_sink sink; // NULL: the answer's body is kept
    void *sink_arg;
    unsigned timeout_ms; // 0: none
};

// A function that reported an error is success here: look at ret->function_error.
MUST_CHECK int lambda_invoke(struct client *client, const struct lambda_call *call,
                             struct client_answer *ret, struct error *err);

#endif
