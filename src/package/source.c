// SPDX-License-Identifier: MIT
#include "package/source.h"

#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "model_runtime/model_file.h"
#include "package/zip_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WARM_UP "warm_up.json" // what the built-in runtime asks the model while it starts
#define SAVED_MODEL "saved_model.pb"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static bool has_suffix(const char *name, const char *suffix)
{
    return str_has_suffix(str_of(name), str_of(suffix));
}

int source_open_file(int dir, const char *path, int *ret_fd, struct stat *ret, struct error *err)
{
    AUTO_FD int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return error_set_errno(err, -errno, "open '%s'", path);
    if (fstat(fd, ret) < 0)
        return error_set_errno(err, -errno, "look at '%s'", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

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
static const struct file_entry *find_only_model(int dir, const struct file_list *list)
{
    const struct file_entry *found = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const struct file_entry *entry = &list->entries[i];
        if (entry->kind != FILE_REGULAR || strchr(entry->path, '/') != NULL ||
            !model_file_holds_model(dir, entry->path))
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

    const struct file_entry *bootstrap = file_list_find(list, SOURCE_BOOTSTRAP);
    if (bootstrap == NULL && file_list_find(list, SAVED_MODEL) != NULL)
        return error_set(err, -ENOTSUP, "'%s' is %s", path, model_file_refusal(SAVED_MODEL));
    package->has_bootstrap = bootstrap != NULL;
    if (bootstrap != NULL && bootstrap->kind == FILE_REGULAR && !bootstrap->is_executable)
        return error_set(err, -EINVAL, "'%s/bootstrap' is not executable (chmod +x %s/bootstrap)",
                         path, path);
    const struct file_entry *model = bootstrap == NULL ? find_only_model(dir, list) : NULL;
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

void source_done(struct source *source)
{
    (void) fd_close(source->zip);
    (void) fd_close(source->dir);
    (void) fd_close(source->more_dir);
    file_list_done(&source->list);
    file_list_done(&source->more);
}

int source_open(const char *path, struct package *package, struct source *source, struct error *err)
{
    const char *refusal = model_file_refusal(path);
    AUTO_FD int fd = -1;
    struct stat st;

    int r = source_open_file(AT_FDCWD, path, &fd, &st, err);
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
    if (model_file_holds_model(AT_FDCWD, path))
        return list_model(path, &st, package, &source->list, &source->dir, err);
    if (is_zip_file(fd, path)) {
        r = measure_zip(fd, path, &st, package, err);
        if (r == 0)
            source->zip = TAKE_FD(fd);
        return r;
    }
    if (model_file_is_xgboost(path))
        return error_set(err, -EINVAL,
                         "'%s' is not an XGBoost model: it is no object with \"learner\" in it, as "
                         "booster.save_model(\"model.ubj\") and (\"model.json\") write them",
                         path);
    return error_set(err, -EINVAL,
                     "'%s' is not a model (.onnx, .ort, .tflite, .ubj, .json of XGBoost), a zip "
                     "archive or a directory",
                     path);
}
