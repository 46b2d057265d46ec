/* SPDX-License-Identifier: MIT */
#include "instance/subscription.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "instance/telemetry.h"
#include "wire/spawn.h"

#define ITEMS_MIN 1000
#define ITEMS_MAX 10000
#define BYTES_MIN 262144
#define BYTES_MAX 1048576
#define TIMEOUT_MIN_MS 25
#define TIMEOUT_MAX_MS 30000
#define TIMEOUT_DEFAULT_MS 1000

/* Each reads one member: NULL, or what is wrong with it. */

static const char *schema_read(yyjson_val *root, bool is_logs)
{
    static const char *const telemetry[] = {"2022-07-01", "2022-12-13", "2025-01-29"};
    static const char *const logs[] = {"2020-08-15", "2021-03-18"};
    const char *const *known = is_logs ? logs : telemetry;
    size_t count = is_logs ? ARRAY_SIZE(logs) : ARRAY_SIZE(telemetry);
    struct str version = json_str(json_member(root, "schemaVersion"));
    if (is_logs && !json_member(root, "schemaVersion"))
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (str_equal_text(version, known[i]))
            return NULL;
    return "schemaVersion is missing or none that is known";
}

static const char *types_read(yyjson_val *root, unsigned *ret_kinds)
{
    static const char message[] = "types must be a list of platform, function, extension";
    yyjson_val *types, *type;
    size_t index, count;
    unsigned kinds = 0;
    if (json_member_array(root, "types", &types) < 0 || yyjson_arr_size(types) == 0)
        return message;
    yyjson_arr_foreach(types, index, count, type)
    {
        struct str text = json_str(type);
        if (str_equal_text(text, "platform"))
            kinds |= TELEMETRY_PLATFORM;
        else if (str_equal_text(text, "function"))
            kinds |= TELEMETRY_FUNCTION;
        else if (str_equal_text(text, "extension"))
            kinds |= TELEMETRY_EXTENSION;
        else
            return message;
    }
    *ret_kinds = kinds;
    return NULL;
}

static const char *buffering_read(yyjson_val *root, struct subscription *to)
{
    yyjson_val *buffering = json_member(root, "buffering");
    const struct {
        const char *name;
        int64_t minimum, maximum, *value;
        const char *message;
    } members[] = {
        {"maxItems", ITEMS_MIN, ITEMS_MAX, &to->items_max,
         "buffering.maxItems must be 1000 to 10000"},
        {"maxBytes", BYTES_MIN, BYTES_MAX, &to->bytes_max,
         "buffering.maxBytes must be 262144 to 1048576"},
        {"timeoutMs", TIMEOUT_MIN_MS, TIMEOUT_MAX_MS, &to->timeout_ms,
         "buffering.timeoutMs must be 25 to 30000"},
    };
    if (buffering && !yyjson_is_obj(buffering))
        return "buffering must be an object";
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        int r = json_member_i64(buffering, members[i].name, members[i].minimum, members[i].maximum,
                                members[i].value);
        if (r < 0 && r != -ENOENT)
            return members[i].message;
    }
    return NULL;
}

/* http://sandbox.localdomain:8080/path; the documentation's older name is sandbox. */
static bool uri_read(struct str uri, struct subscription *to)
{
    static const char *const hosts[] = {"sandbox.localdomain", "sandbox.local", "sandbox"};
    struct str authority, path = {0}, host, port;
    uint64_t number;
    bool is_known = false;
    if (!str_has_prefix(uri, STR("http://")))
        return false;
    uri = str_skip(uri, strlen("http://"));
    ptrdiff_t slash = str_find(uri, '/');
    authority = slash < 0 ? uri : str_part(uri, 0, (size_t) slash);
    path = slash < 0 ? STR("/") : str_skip(uri, (size_t) slash);
    if (!str_cut(authority, ':', &host, &port))
        port = STR("80");
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
        is_known |= str_equal_text(host, hosts[i]);
    if (!is_known || str_to_u64(port, 65535, &number) < 0 || number == 0)
        return false;
    for (size_t i = 0; i < path.size; i++)
        if (path.data[i] <= ' ' || path.data[i] > '~')
            return false;
    to->port = (uint16_t) number;
    return str_copy(path, to->path, sizeof(to->path)) == 0;
}

static const char *destination_read(yyjson_val *root, struct subscription *to)
{
    yyjson_val *destination = json_member(root, "destination");
    struct str protocol = json_str(json_member(destination, "protocol"));
    struct str method = json_str(json_member(destination, "method"));
    struct str encoding = json_str(json_member(destination, "encoding"));
    int64_t port = 0;
    if (encoding.size > 0 && !str_equal_text(encoding, "JSON"))
        return "destination.encoding must be JSON";
    if (method.size > 0 && !str_equal_text(method, "POST"))
        return "destination.method must be POST";
    if (str_equal_text(protocol, "TCP")) {
        to->is_tcp = true;
        if (json_member_i64(destination, "port", 1, 65535, &port) < 0)
            return "destination.port must be a port";
        to->port = (uint16_t) port;
    } else if (!str_equal_text(protocol, "HTTP")) {
        return "destination.protocol must be HTTP or TCP";
    } else if (!uri_read(json_str(json_member(destination, "URI")), to)) {
        return "destination.URI must be http://sandbox.localdomain:PORT/PATH";
    }
    if (to->port == SPAWN_PORT_RUNTIME || to->port == SPAWN_PORT_PLATFORM)
        return "the destination's port is the platform's own";
    return NULL;
}

int subscription_read(struct str body, bool is_logs, struct subscription *ret,
                      const char **ret_message)
{
    AUTO_JSON yyjson_doc *doc = NULL;
    struct subscription read = {.is_logs = is_logs,
                                .items_max = is_logs ? ITEMS_MAX : ITEMS_MIN,
                                .bytes_max = BYTES_MIN,
                                .timeout_ms = TIMEOUT_DEFAULT_MS};
    const char *message = NULL;
    if (json_parse(body, SUBSCRIPTION_BYTES_MAX, &doc, NULL) < 0) {
        *ret_message = "the body is no JSON";
        return -EINVAL;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    message = schema_read(root, is_logs);
    if (!message)
        message = types_read(root, &read.kinds);
    if (!message)
        message = buffering_read(root, &read);
    if (!message)
        message = destination_read(root, &read);
    if (message) {
        *ret_message = message;
        return -EINVAL;
    }
    *ret = read;
    return 0;
}
