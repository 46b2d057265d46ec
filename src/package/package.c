// SPDX-License-Identifier: MIT
#include "package/package.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "model_runtime/model_file.h"
#include "package/file_list.h"
#include "package/source.h"
#include "package/zip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- The extra files of a model's package

static bool needs_runtime(const struct package_options *options, const struct package *package)
{
    return package->handler[0] != '\0' && options->part != PACKAGE_LAYER;
}

static int check_part(const char *path, const struct package_options *options,
                      const struct package *package, struct error *err)
{
    if (options->part == PACKAGE_WHOLE || package->handler[0] != '\0')
        return 0;
    return error_set(err, -EINVAL,
                     "'%s' is not one model: only a model and its runtime can be divided into a "
                     "layer and a function",
                     path);
}

static int measure_extra(const char *path, struct package *package, struct error *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return error_set_errno(err, -errno, "the built-in runtime's '%s'", path);
    package->unzipped_bytes += (uint64_t) st.st_size;
    package->entries++;
    return 0;
}

enum engine { ENGINE_ONNX, ENGINE_TFLITE, ENGINE_XGBOOST, ENGINE_NONE };

static enum engine engine_of_library(const char *path)
{
    static const struct {
        const char *prefix;
        enum engine engine;
    } known[] = {
        {"liblamina", ENGINE_NONE},     {"libtensorflowlite", ENGINE_TFLITE},
        {"libxgboost", ENGINE_XGBOOST}, {"libdmlc", ENGINE_XGBOOST},
        {"libgomp", ENGINE_XGBOOST},
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strncmp(path, known[i].prefix, strlen(known[i].prefix)) == 0)
            return known[i].engine;
    return ENGINE_ONNX;
}

static enum engine engine_of_model(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (dot != NULL && strcasecmp(dot, ".tflite") == 0)
        return ENGINE_TFLITE;
    return model_file_is_xgboost(name) ? ENGINE_XGBOOST : ENGINE_ONNX;
}

// Of the sandbox's libraries a package takes those of its model's engine: 46 MB and 4 MB that nobody
// else would load.
static bool is_engine_of(const void *handler, const char *path)
{
    return engine_of_library(path) == engine_of_model(handler);
}

static int list_libraries(int dir, const char *path, const struct package *package,
                          struct file_list *list, struct error *err)
{
    int r = file_list_read(dir, path, list, err);
    if (r == 0)
        file_list_keep(list, is_engine_of, package->handler);
    return r;
}

static int measure_extra_directory(const char *path, bool is_libraries, struct package *package,
                                   struct error *err)
{
    struct file_list list = {0};

    AUTO_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set_errno(err, -errno, "the built-in runtime's '%s'", path);
    int r = is_libraries ? list_libraries(dir, path, package, &list, err)
                         : file_list_read(dir, path, &list, err);
    if (r < 0)
        return r;
    package->unzipped_bytes += list.bytes;
    package->entries += list.count;
    file_list_done(&list);
    return 0;
}

static int measure_runtime(const struct package_options *options, struct package *package,
                           struct error *err)
{
    if (options->bootstrap == NULL)
        return error_set(err, -ENOENT,
                         "this build of Lamina has no lamina-model to run models with");
    int r = measure_extra(options->bootstrap, package, err);
    if (r == 0 && options->libraries != NULL)
        r = measure_extra_directory(options->libraries, true, package, err);
    if (r == 0 && options->notices != NULL)
        r = measure_extra_directory(options->notices, false, package, err);
    package->has_bootstrap = true;
    return r;
}

// Lists the second directory, without what the first one has too.
static int list_more(const char *path, struct source *source, struct error *err)
{
    source->more_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (source->more_dir < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    int r = file_list_read(source->more_dir, path, &source->more, err);
    if (r == 0)
        file_list_subtract(&source->more, &source->list);
    return r;
}

// A model that is elsewhere: only its name is known, and only the runtime for it can be packaged.
static int open_uri(const char *path, struct package *package, struct error *err)
{
    const char *name = strrchr(path, '/') + 1;

    package->kind = PACKAGE_MODEL;
    if (model_file_is_model(name) || model_file_is_xgboost(name))
        return str_copy(str_of(name), package->handler, sizeof package->handler) < 0
                   ? error_set(err, -ENAMETOOLONG, "the model's file name is too long")
                   : 0;
    return str_copy(STR(SOURCE_BOOTSTRAP), package->handler, sizeof package->handler);
}

static int measure(const char *path, const struct package_options *options, struct package *package,
                   struct source *source, struct error *err)
{
    bool is_uri = options->part == PACKAGE_RUNTIME && strncmp(path, "s3://", 5) == 0;
    int r = is_uri ? open_uri(path, package, err) : source_open(path, package, source, err);

    if (r == 0 && package->kind == PACKAGE_DIRECTORY && options->more != NULL)
        r = list_more(options->more, source, err);
    if (r == 0 && package->kind == PACKAGE_ZIP)
        r = check_part(path, options, package, err);
    if (r < 0 || package->kind == PACKAGE_ZIP)
        return r;
    package->unzipped_bytes += source->more.bytes;
    package->entries += source->more.count;
    r = check_part(path, options, package, err);
    if (r < 0)
        return r;
    if (options->part != PACKAGE_RUNTIME) {
        package->unzipped_bytes += source->list.bytes;
        package->entries += source->list.count;
    }
    return needs_runtime(options, package) ? measure_runtime(options, package, err) : 0;
}

int package_measure(const char *path, const struct package_options *options, struct package *ret,
                    struct error *err)
{
    AUTO_SOURCE struct source source = SOURCE_INIT;
    struct package package = {.fd = -1};

    int r = measure(path, options, &package, &source, err);
    if (r == 0)
        *ret = package;
    return r;
}

// ---- Building

static int open_temporary(int *ret_fd, struct error *err)
{
    const char *dir = getenv("TMPDIR");
    AUTO_BUF struct buf name = BUF_INIT(4096);

    if (dir == NULL || dir[0] != '/')
        dir = "/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
        // Not every file system has O_TMPFILE (overlayfs before Linux 6.3).
        buf_printf(&name, "%s/lamina-XXXXXX", dir);
        fd = buf_status(&name) < 0 ? -1 : mkostemp(name.data, O_CLOEXEC);
        if (fd >= 0)
            (void) unlink(name.data);
    }
    if (fd < 0)
        return error_set_errno(err, -errno, "make a temporary file in '%s' (TMPDIR)", dir);
    *ret_fd = fd;
    return 0;
}

static int add_from(struct zip_writer *zip, int dir, const struct file_entry *entry,
                    const char *name, struct error *err)
{
    AUTO_FD int fd = -1;
    struct stat st;

    if (entry->kind == FILE_SYMLINK)
        return zip_add_symlink(zip, name, entry->target, err);
    if (entry->kind == FILE_DIRECTORY)
        return zip_add_directory(zip, name, err);
    int r = source_open_file(dir, entry->path, &fd, &st, err);
    if (r < 0)
        return r;
    // The list may be old: what is there now must be a file still, of the size that was counted.
    if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size != entry->size)
        return error_set(err, -ESTALE, "'%s' changed while it was packaged", entry->path);
    return zip_add_file(zip, name, entry->is_executable, fd, entry->size, err);
}

static int add_list(struct zip_writer *zip, int dir, const struct file_list *list,
                    const char *prefix, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < list->count; i++) {
        AUTO_BUF struct buf name = BUF_INIT(ZIP_NAME_BYTES_MAX);
        buf_printf(&name, "%s%s", prefix, list->entries[i].path);
        r = buf_status(&name);
        r = r < 0 ? error_set_errno(err, r, "'%s'", list->entries[i].path)
                  : add_from(zip, dir, &list->entries[i], name.data, err);
    }
    return r;
}

// `package`: of the libraries those of its engine; NULL: all files.
static int add_directory_as(struct zip_writer *zip, const char *path, const char *prefix,
                            const struct package *package, struct error *err)
{
    struct file_list list = {0};

    AUTO_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    int r = package != NULL ? list_libraries(dir, path, package, &list, err)
                            : file_list_read(dir, path, &list, err);
    if (r == 0)
        r = add_list(zip, dir, &list, prefix, err);
    file_list_done(&list);
    return r;
}

static int add_runtime(struct zip_writer *zip, const struct package_options *options,
                       const struct package *package, struct error *err)
{
    AUTO_FD int fd = -1;
    struct stat st;

    int r = source_open_file(AT_FDCWD, options->bootstrap, &fd, &st, err);
    if (r == 0)
        r = zip_add_file(zip, SOURCE_BOOTSTRAP, true, fd, (uint64_t) st.st_size, err);
    if (r == 0 && options->libraries != NULL)
        r = add_directory_as(zip, options->libraries, "lib/", package, err);
    if (r == 0 && options->notices != NULL)
        r = add_directory_as(zip, options->notices, "NOTICE/", NULL, err);
    return r;
}

static int write_zip(const struct package_options *options, struct source *source,
                     struct package *package, struct error *err)
{
    struct zip_writer *zip = NULL;

    int r = zip_writer_new(package->fd, &zip, err);
    if (r == 0 && needs_runtime(options, package))
        r = add_runtime(zip, options, package, err);
    if (r == 0 && options->part != PACKAGE_RUNTIME)
        r = add_list(zip, source->dir, &source->list,
                     options->part == PACKAGE_LAYER ? PACKAGE_LAYER_FOLDER : "", err);
    if (r == 0)
        r = add_list(zip, source->more_dir, &source->more, "", err);
    if (r == 0 && options->marker != NULL)
        r = zip_add_bytes(zip, ".lamina-marker", false, options->marker, strlen(options->marker),
                          err);
    if (r == 0)
        r = zip_finish(zip, &package->zip_bytes, err);
    zip_writer_free(zip);
    return r;
}

static int take_digest(struct package *package, const char *path, struct error *err)
{
    struct digest digest;
    uint64_t size;

    if (lseek(package->fd, 0, SEEK_SET) < 0)
        return error_set_errno(err, -errno, "read the package of '%s'", path);
    int r = digest_of_fd(package->fd, &digest, &size);
    if (r < 0)
        return error_set_errno(err, r, "read the package of '%s'", path);
    if (size != package->zip_bytes)
        return error_set(err, -ESTALE, "'%s' changed while it was read", path);
    digest_hex(&digest, package->sha256_hex);
    return 0;
}

int package_build(const char *path, const struct package_options *options, struct package *ret,
                  struct error *err)
{
    AUTO_SOURCE struct source source = SOURCE_INIT;
    struct package package = {.fd = -1};

    int r = measure(path, options, &package, &source, err);
    if (r < 0)
        return r;
    if (package.kind == PACKAGE_ZIP) {
        package.fd = TAKE_FD(source.zip);
    } else {
        r = open_temporary(&package.fd, err);
        if (r == 0)
            r = write_zip(options, &source, &package, err);
        if (r < 0)
            r = error_wrap(err, r, "package '%s'", path);
    }
    if (r == 0)
        r = take_digest(&package, path, err);
    if (r < 0) {
        package_done(&package);
        return r;
    }
    *ret = package;
    return 0;
}

void package_done(struct package *package)
{
    package->fd = fd_close(package->fd);
}
