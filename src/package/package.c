// SPDX-License-Identifier: MIT
#include "package/package.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "model_runtime/model_file.h"
#include "package/file_list.h"
#include "package/zip.h"
#include "package/zip_read.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOTSTRAP "bootstrap"
#define WARM_UP "warm_up.json" // what the built-in runtime asks the model while it starts
#define SAVED_MODEL "saved_model.pb"
#define FUNCTION_NAME_MAX 64

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static bool has_suffix(const char *name, const char *suffix)
{
    return str_has_suffix(str_of(name), str_of(suffix));
}

static int open_file(int dir, const char *path, int *ret_fd, struct stat *ret, struct error *err)
{
    AUTO_FD int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    if (fstat(fd, ret) < 0)
        return error_set_errno(err, -errno, "look at '%s'", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

// ---- What is there

static int add_if_there(int dir, const char *name, struct file_list *list, struct error *err)
{
    struct stat st;

    if (fstatat(dir, name, &st, 0) < 0 || !S_ISREG(st.st_mode))
        return 0;
    return file_list_add(list, name, (uint64_t) st.st_size, err);
}

// The model's external data that lies beside it, as PyTorch (NAME.data) and Optimum (NAME_data)
// call it.
static int add_external_data(int dir, const char *model, struct file_list *list, struct error *err)
{
    static const char *const suffixes[] = {".data", "_data"};

    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        AUTO_BUF struct buf name = BUF_INIT(1024);
        buf_printf(&name, "%s%s", model, suffixes[i]);
        int r = buf_status(&name) == 0 ? add_if_there(dir, name.data, list, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int take_handler(struct package *package, const char *model, struct error *err)
{
    if (str_copy(str_of(model), package->handler, sizeof package->handler) < 0)
        return error_set(err, -ENAMETOOLONG, "the model's file name is longer than %d characters",
                         PACKAGE_HANDLER_BYTES_MAX - 1);
    if (strchr(model, ' ') != NULL)
        return error_set(err, -EINVAL,
                         "'%s': a model's file name is the function's Handler and may "
                         "not hold spaces; rename the file",
                         model);
    return 0;
}

// ret_dir: the directory that the model and its data lie in.
static int list_model(const char *path, const struct stat *st, struct package *package,
                      struct file_list *list, int *ret_dir, struct error *err)
{
    const char *name = base_name(path);
    AUTO_FREE char *parent =
        str_copy_heap(name == path ? STR(".") : str_of_data(path, (size_t) (name - path)));

    if (parent == NULL)
        return error_set(err, -ENOMEM, "no memory to package '%s'", path);
    AUTO_FD int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set_errno(err, -errno, "open '%s'", parent);

    package->kind = PACKAGE_MODEL;
    int r = take_handler(package, name, err);
    if (r == 0)
        r = file_list_add(list, name, (uint64_t) st->st_size, err);
    if (r == 0)
        r = add_external_data(dir, name, list, err);
    package->model_bytes = list->bytes;
    if (r == 0)
        r = add_if_there(dir, WARM_UP, list, err);
    if (r == 0)
        *ret_dir = TAKE_FD(dir);
    return r;
}

// The only model at the top of a directory that has no bootstrap, or NULL.
static const struct file_entry *find_only_model(const struct file_list *list)
{
    const struct file_entry *found = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const struct file_entry *entry = &list->entries[i];
        if (entry->kind != FILE_REGULAR || strchr(entry->path, '/') != NULL ||
            !model_file_is_model(entry->path))
            continue;
        if (found != NULL)
            return NULL;
        found = entry;
    }
    return found;
}

static int list_directory(const char *path, struct package *package, struct file_list *list,
                          int *ret_dir, struct error *err)
{
    AUTO_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set_errno(err, -errno, "open '%s'", path);

    package->kind = PACKAGE_DIRECTORY;
    int r = file_list_read(dir, path, list, err);
    if (r < 0)
        return r;
    if (list->count == 0)
        return error_set(err, -EINVAL, "'%s' is empty: nothing to deploy", path);

    const struct file_entry *bootstrap = file_list_find(list, BOOTSTRAP);
    if (bootstrap == NULL && file_list_find(list, SAVED_MODEL) != NULL)
        return error_set(err, -ENOTSUP, "'%s' is %s", path, model_file_refusal(SAVED_MODEL));
    package->has_bootstrap = bootstrap != NULL;
    if (bootstrap != NULL && bootstrap->kind == FILE_REGULAR && !bootstrap->is_executable)
        return error_set(err, -EINVAL, "'%s/bootstrap' is not executable (chmod +x %s/bootstrap)",
                         path, path);
    const struct file_entry *model = bootstrap == NULL ? find_only_model(list) : NULL;
    if (model != NULL) {
        package->model_bytes = list->bytes;
        r = take_handler(package, model->path, err);
        if (r < 0)
            return r;
    }
    *ret_dir = TAKE_FD(dir);
    return 0;
}

static int measure_zip(int fd, const char *path, const struct stat *st, struct package *package,
                       struct error *err)
{
    struct zip_totals totals;

    package->kind = PACKAGE_ZIP;
    package->zip_bytes = (uint64_t) st->st_size;
    int r = zip_totals_of_fd(fd, package->zip_bytes, &totals, err);
    if (r < 0)
        return error_wrap(err, r, "'%s'", path);
    if (totals.has_bootstrap && !totals.is_bootstrap_executable)
        return error_set(err, -EINVAL,
                         "'%s' holds a bootstrap that is not executable: AWS unpacks "
                         "modes as they are in the zip (chmod +x, then zip again)",
                         path);
    package->unzipped_bytes = totals.unzipped_bytes;
    package->entries = totals.entries;
    package->has_bootstrap = totals.has_bootstrap;
    return 0;
}

static bool is_zip_file(int fd, const char *path)
{
    char magic[4];

    return has_suffix(path, ".zip") ||
           (pread(fd, magic, sizeof magic, 0) == sizeof magic &&
            (memcmp(magic, "PK\3\4", 4) == 0 || memcmp(magic, "PK\5\6", 4) == 0));
}

// A source: the open zip, or the list of files and their directory.
struct source {
    int zip;
    int dir;
    struct file_list list;
    int more_dir; // of package_options.more
    struct file_list more;
};

static void source_done(struct source *source)
{
    (void) fd_close(source->zip);
    (void) fd_close(source->dir);
    (void) fd_close(source->more_dir);
    file_list_done(&source->list);
    file_list_done(&source->more);
}

#define AUTO_SOURCE AUTO(source_done)

static int look_at(const char *path, struct package *package, struct source *source,
                   struct error *err)
{
    const char *refusal = model_file_refusal(path);
    AUTO_FD int fd = -1;
    struct stat st;

    int r = open_file(AT_FDCWD, path, &fd, &st, err);
    if (r < 0)
        return r;
    if (refusal != NULL)
        return error_set(err, -ENOTSUP, "'%s' is %s", base_name(path), refusal);
    if (S_ISDIR(st.st_mode))
        return list_directory(path, package, &source->list, &source->dir, err);
    if (!S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "'%s' is neither a file nor a directory", path);
    if (st.st_size == 0)
        return error_set(err, -EINVAL, "'%s' is empty", path);
    if (model_file_is_model(path))
        return list_model(path, &st, package, &source->list, &source->dir, err);
    if (is_zip_file(fd, path)) {
        r = measure_zip(fd, path, &st, package, err);
        if (r == 0)
            source->zip = TAKE_FD(fd);
        return r;
    }
    return error_set(err, -EINVAL,
                     "'%s' is not a model (.onnx, .ort), a zip archive or a directory", path);
}

// ---- The extra files of a model's package

static bool needs_runtime(const struct package *package)
{
    return package->handler[0] != '\0';
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

static int measure_extra_directory(const char *path, struct package *package, struct error *err)
{
    struct file_list list = {0};

    AUTO_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set_errno(err, -errno, "the built-in runtime's '%s'", path);
    int r = file_list_read(dir, path, &list, err);
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
        r = measure_extra_directory(options->libraries, package, err);
    if (r == 0 && options->notices != NULL)
        r = measure_extra_directory(options->notices, package, err);
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

static int measure(const char *path, const struct package_options *options, struct package *package,
                   struct source *source, struct error *err)
{
    int r = look_at(path, package, source, err);

    if (r == 0 && package->kind == PACKAGE_DIRECTORY && options->more != NULL)
        r = list_more(options->more, source, err);
    if (r < 0 || package->kind == PACKAGE_ZIP)
        return r;
    package->unzipped_bytes += source->more.bytes;
    package->entries += source->more.count;
    package->unzipped_bytes += source->list.bytes;
    package->entries += source->list.count;
    return needs_runtime(package) ? measure_runtime(options, package, err) : 0;
}

int package_measure(const char *path, const struct package_options *options, struct package *ret,
                    struct error *err)
{
    AUTO_SOURCE struct source source = {.zip = -1, .dir = -1, .more_dir = -1};
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
    int r = open_file(dir, entry->path, &fd, &st, err);
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

static int add_directory_as(struct zip_writer *zip, const char *path, const char *prefix,
                            struct error *err)
{
    struct file_list list = {0};

    AUTO_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    int r = file_list_read(dir, path, &list, err);
    if (r == 0)
        r = add_list(zip, dir, &list, prefix, err);
    file_list_done(&list);
    return r;
}

static int add_runtime(struct zip_writer *zip, const struct package_options *options,
                       struct error *err)
{
    AUTO_FD int fd = -1;
    struct stat st;

    int r = open_file(AT_FDCWD, options->bootstrap, &fd, &st, err);
    if (r == 0)
        r = zip_add_file(zip, BOOTSTRAP, true, fd, (uint64_t) st.st_size, err);
    if (r == 0 && options->libraries != NULL)
        r = add_directory_as(zip, options->libraries, "lib/", err);
    if (r == 0 && options->notices != NULL)
        r = add_directory_as(zip, options->notices, "NOTICE/", err);
    return r;
}

static int write_zip(const struct package_options *options, struct source *source,
                     struct package *package, struct error *err)
{
    struct zip_writer *zip = NULL;

    int r = zip_writer_new(package->fd, &zip, err);
    if (r == 0 && needs_runtime(package))
        r = add_runtime(zip, options, err);
    if (r == 0)
        r = add_list(zip, source->dir, &source->list, "", err);
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
    AUTO_SOURCE struct source source = {.zip = -1, .dir = -1, .more_dir = -1};
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

// ---- Names

int package_name(const char *path, char ret_name[65], struct error *err)
{
    static const char *const extensions[] = {".zip", ".onnx", ".ort"};
    struct str text = str_of(path);
    char name[FUNCTION_NAME_MAX + 1];
    size_t size = 0;

    while (str_has_suffix(text, STR("/")))
        text.size--;
    text = str_skip(text, (size_t) (str_find_last(text, '/') + 1));
    for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
        struct str extension = str_of(extensions[i]);
        if (str_has_suffix(text, extension))
            text.size -= extension.size;
    }
    for (size_t i = 0; i < text.size && size < FUNCTION_NAME_MAX; i++) {
        unsigned char c = (unsigned char) text.data[i];
        name[size++] = isalnum(c) || c == '_' ? (char) c : '-';
    }
    name[size] = '\0';
    if (strspn(name, "-") == size)
        return error_set(err, -EINVAL, "no function name can be made of '%s': give --name", path);
    memcpy(ret_name, name, size + 1);
    return 0;
}
