// SPDX-License-Identifier: MIT

#include "model_runtime/remote_model.h"

#include "base/clock.h"
#include "base/mem.h"
#include "model_runtime/remote.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINK_FOLDER "/tmp/lamina-model"

// ---- libcurl

static int curl_open(struct remote_curl *curl, struct error *err)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return error_set(err, -ELIBACC, "MODEL_URI needs libcurl: %.300s", dlerror());
#define FIND(type, name, arguments)                                                                \
    *(void **) &curl->name = dlsym(library, "curl_" #name);                                        \
    if (curl->name == NULL)                                                                        \
        return error_set(err, -ELIBACC, "libcurl has no curl_" #name);
    REMOTE_CURL_FUNCTIONS(FIND)
#undef FIND
    return curl->global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
               ? 0
               : error_set(err, -EIO, "libcurl does not start");
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

// ---- All of them

struct fetching {
    struct remote *remote;
    CURLM *multi;
    struct remote_part parts[REMOTE_CONNECTIONS];
    uint64_t next; // byte where the next part begins
    unsigned open;
};

static int part_next(struct fetching *fetching, struct remote_part *part)
{
    const struct remote *remote = fetching->remote;
    bool is_first = remote->total == 0;
    if (!is_first && fetching->next >= remote->total)
        return 0;
    part->remote = fetching->remote;
    part->at = fetching->next;
    part->end = part->at + REMOTE_RANGE_BYTES;
    if (!is_first && part->end > remote->total)
        part->end = remote->total;
    part->tries = 0;
    fetching->next = part->end;
    fetching->open++;
    return remote_part_begin(part, fetching->multi);
}

static int part_ended(struct fetching *fetching, struct remote_part *part, CURLcode code)
{
    (void) fetching->remote->curl.multi_remove_handle(fetching->multi, part->easy);
    part->is_busy = false;
    int r = remote_part_judge(part, code);
    if (r == 1)
        return remote_part_begin(part, fetching->multi);
    if (r < 0)
        return r;
    fetching->open--;
    for (size_t i = 0; r == 0 && i < REMOTE_CONNECTIONS; i++)
        if (!fetching->parts[i].is_busy)
            r = part_next(fetching, &fetching->parts[i]);
    return r;
}

static int fetching_turn(struct fetching *fetching)
{
    const struct remote_curl *curl = &fetching->remote->curl;
    CURLMsg *message;
    int running, left, r = 0;
    (void) curl->multi_perform(fetching->multi, &running);
    while (r == 0 && (message = curl->multi_info_read(fetching->multi, &left)) != NULL) {
        struct remote_part *part = NULL;
        CURLcode code = message->data.result;
        (void) curl->easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &part);
        r = part_ended(fetching, part, code);
    }
    if (r == 0 && fetching->open > 0)
        (void) curl->multi_poll(fetching->multi, NULL, 0, 1000, NULL);
    return r;
}

static int fetch_all(struct remote *remote)
{
    AUTO_FREE struct fetching *fetching = mem_new(struct fetching);
    if (fetching == NULL || (fetching->multi = remote->curl.multi_init()) == NULL)
        return error_set(remote->err, -ENOMEM, "no memory to fetch the model");
    fetching->remote = remote;
    int r = part_next(fetching, &fetching->parts[0]);
    while (r == 0 && fetching->open > 0)
        r = fetching_turn(fetching);
    for (size_t i = 0; i < REMOTE_CONNECTIONS; i++) {
        fetching->parts[i].remote = remote;
        remote_part_done(&fetching->parts[i], fetching->multi);
    }
    (void) remote->curl.multi_cleanup(fetching->multi);
    return r;
}

// Engines go by a file's name: a link of that name leads to the memory.
static int name_it(struct remote *remote)
{
    char link[512], target[64];
    ptrdiff_t slash = str_find_last(remote->key, '/');
    struct str name = str_skip(remote->key, (size_t) (slash + 1));
    if (name.size > 200)
        name = str_skip(name, name.size - 200);
    (void) snprintf(link, sizeof link, LINK_FOLDER "/" STR_FORMAT, STR_ARGUMENTS(name));
    (void) snprintf(target, sizeof target, "/proc/%d/fd/%d", (int) getpid(), remote->fd);
    if (mkdir(LINK_FOLDER, 0700) < 0 && errno != EEXIST)
        return error_set_errno(remote->err, -errno, "make '" LINK_FOLDER "'");
    (void) unlink(link); // of an earlier process; else symlink says so
    if (symlink(target, link) < 0)
        return error_set_errno(remote->err, -errno, "make '%s'", link);
    return setenv("MODEL_PATH", link, 1) < 0
               ? error_set_errno(remote->err, -errno, "set MODEL_PATH")
               : 0;
}

static int fetch(struct remote *remote, const char *uri)
{
    uint64_t start_ns = (uint64_t) clock_monotonic_ns();
    const char *endpoint = environment("AWS_ENDPOINT_URL_S3");
    int r =
        remote_address(remote, uri, endpoint != NULL ? endpoint : environment("AWS_ENDPOINT_URL"));
    if (r == 0)
        r = curl_open(&remote->curl, remote->err);
    if (r < 0)
        return r;
    remote->fd = memfd_create("model", MFD_CLOEXEC);
    if (remote->fd < 0)
        return error_set_errno(remote->err, -errno, "make room in memory for the model");
    r = fetch_all(remote);
    if (r == 0)
        r = name_it(remote);
    if (r < 0) {
        (void) close(remote->fd);
        return r;
    }
    (void) fprintf(stderr, "model.fetched uri=%.200s bytes=%llu ms=%.1f\n", uri,
                   (unsigned long long) remote->total,
                   (double) ((uint64_t) clock_monotonic_ns() - start_ns) / 1e6);
    return 0; // the descriptor stays open: the link leads to it
}

int remote_model_fetch(struct error *err)
{
    const char *uri = environment("MODEL_URI");
    if (uri == NULL || environment("MODEL_PATH") != NULL)
        return 0;
    AUTO_FREE struct remote *remote = mem_new(struct remote);
    if (remote == NULL)
        return error_set(err, -ENOMEM, "no memory to fetch the model");
    remote->err = err;
    remote->fd = -1;
    remote->access_key = environment("AWS_ACCESS_KEY_ID");
    remote->secret = environment("AWS_SECRET_ACCESS_KEY");
    remote->token = environment("AWS_SESSION_TOKEN");
    remote->region = environment("AWS_REGION");
    remote->ca_file = environment("AWS_CA_BUNDLE");
    if (remote->region == NULL)
        remote->region = "us-east-1";
    if (remote->secret == NULL)
        remote->access_key = NULL;
    return fetch(remote, uri);
}
