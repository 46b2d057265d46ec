// SPDX-License-Identifier: MIT
//
// The model on a file system that the function mounts, the runtime in the function, MODEL_PATH between them. A new model is
// a file renamed into the old one's place: the service notices it and switches; the function is not deployed again (F1, F2).
// Where it goes (options->filesystem) is found by the caller, who may write there; it gets a directory of the function's
// name, which is removed afterwards.
#include "compare/variant.h"

#include "base/digest.h"
#include "base/fd.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNT "/mnt/models"
#define TEMPORARY ".part"
#define COPY_BYTES ((size_t) 1 << 20)

static int build(struct session *session, const char *marker, struct strategy_size *ret_size,
                 struct error *err)
{
    const struct compare_filesystem *filesystem = &session->options->filesystem;

    if (filesystem->directory[0] == '\0')
        return error_set(err, -ENOTSUP, "%s", filesystem->reason);
    return variant_build_runtime(session, marker, ret_size, err);
}

static int copy(int from, int to, struct digest_stream *digest, uint64_t *bytes)
{
    static char data[COPY_BYTES];
    ssize_t n;

    while ((n = read(from, data, sizeof data)) > 0) {
        int r = fd_write_all(to, data, (size_t) n);
        if (r < 0)
            return r;
        digest_update(digest, data, (size_t) n);
        *bytes += (uint64_t) n;
    }
    return n < 0 ? -errno : 0;
}

// The model and its marker under another name; its digest.
static int write_model(const struct session *session, int directory, char hex[DIGEST_HEX_SIZE],
                       uint64_t *ret_bytes)
{
    AUTO_DIGEST struct digest_stream stream;
    char more[VARIANT_MARKER_MAX];
    size_t more_size = variant_marker_bytes(session, more);
    AUTO_FD int from = open(session->options->path, O_RDONLY | O_CLOEXEC);
    AUTO_FD int to =
        openat(directory, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

    digest_stream_init(&stream);
    if (from < 0 || to < 0)
        return -errno;
    *ret_bytes = more_size;
    int r = copy(from, to, &stream, ret_bytes);
    if (r == 0)
        r = fd_write_all(to, more, more_size);
    if (r == 0 && (fchmod(to, 0644) < 0 || fsync(to) < 0))
        r = -errno;
    digest_update(&stream, more, more_size);
    struct digest digest = digest_finish(&stream);
    digest_hex(&digest, hex);
    return r;
}

static int put(struct session *session, char hex[DIGEST_HEX_SIZE], uint64_t *ret_bytes,
               struct error *err)
{
    const char *root = session->options->filesystem.directory;
    AUTO_FD int above = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int directory = above < 0 ? -1 : fs_make_dir_open(above, session->name, 0755);
    int r = above < 0 ? -errno : directory < 0 ? directory : 0;

    if (r == 0)
        r = fchmod(directory, 0755) < 0 ? -errno : write_model(session, directory, hex, ret_bytes);
    if (r == 0 && renameat(directory, TEMPORARY, directory, variant_file_name(session)) < 0)
        r = -errno;
    return r < 0 ? error_set_errno(err, r, "put the model into '%s/%s'", root, session->name) : 0;
}

static int create(struct session *session, const struct lambda_settings *settings,
                  struct error *err)
{
    struct lambda_code code = {.fd = session->package.fd, .size = session->package.zip_bytes};
    struct lambda_settings with_model = *settings;
    struct lambda_function function;
    char path[1200], hex[DIGEST_HEX_SIZE];
    uint64_t bytes;

    memcpy(code.sha256_hex, session->package.sha256_hex, sizeof code.sha256_hex);
    if (snprintf(path, sizeof path, MOUNT "/%s/%s", session->name, variant_file_name(session)) >=
        (int) sizeof path)
        return error_set(err, -ENAMETOOLONG, "the model's file name is too long");
    const struct lambda_variable variables[] = {{"MODEL_PATH", path}, {"MODEL_REFRESH_S", "1"}};
    with_model.has_variables = true;
    with_model.variables = variables;
    with_model.variable_count = 2;
    with_model.filesystem_arn = session->options->filesystem.arn;
    with_model.filesystem_path = MOUNT;
    int r = put(session, hex, &bytes, err);
    return r < 0
               ? r
               : lambda_create(session->client, session->name, &with_model, &code, &function, err);
}

static int update(struct session *session, uint64_t *ret_bytes, struct error *err)
{
    char hex[DIGEST_HEX_SIZE];
    int r = put(session, hex, ret_bytes, err);
    return r < 0 ? r : variant_wait_serving(session, hex, err);
}

static int remove_rest(struct client *client, const struct session *session, struct error *err)
{
    const char *root = session->options->filesystem.directory;
    AUTO_FD int above = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = above < 0 ? -errno : fs_remove_tree(above, session->name);

    (void) client; // nothing of it is the service's
    return r < 0 ? error_set_errno(err, r, "remove '%s/%s'", root, session->name) : 0;
}

const struct variant variant_filesystem = {
    .strategy = STRATEGY_FILESYSTEM,
    .build = build,
    .create = create,
    .update = update,
    .remove = remove_rest,
    .redeploys = false,
};
