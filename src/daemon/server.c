/* SPDX-License-Identifier: MIT */
#include "daemon/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api.h"
#include "api/auth.h"
#include "api/function_model.h"
#include "async/async.h"
#include "aws/credentials.h"
#include "base/fd.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/descriptors.h"
#include "daemon/notify.h"
#include "daemon/paths.h"
#include "daemon/prepared_models.h"
#include "deploy/deploy.h"
#include "daemon/mounts.h"
#include "fetch/fetcher.h"
#include "filesystem/filesystems.h"
#include "fetch/local.h"
#include "fetch/origin.h"
#include "fetch/spool.h"
#include "function/catalog.h"
#include "function/preparation.h"
#include "function/layer.h"
#include "function/scheduler.h"
#include "function/settle.h"
#include "function/switch.h"
#include "http/server.h"
#include "http/tls.h"
#include "instance/instance.h"
#include "instance/log_writer.h"
#include "loop/job.h"
#include "loop/loop.h"
#include "meta/queue.h"
#include "meta/registry.h"
#include "role/roles.h"
#include "store/models.h"
#include "s3/s3.h"
#include "store/store.h"
#include "wire/spawn.h"

#define FILE_THREADS 2
#define FILE_JOBS_MAX 4096
#define ADDRESS_MAX 64

struct server {
    const struct config *config; /* borrowed */
    const char *data_path;       /* borrowed: where the data directory is for this process */
    int spawn_fd, work_fd, data_dir_fd;
    uint64_t connections; /* as many as configured, or as there are descriptors for */
    struct loop *loop;
    struct store *store;
    struct registry *registry;
    struct queue *queue;
    struct log_writer *log_writer;
    struct catalog *catalog;
    struct layers *layers;
    struct instance_host *host;
    struct scheduler *scheduler;
    struct preparation *preparation;
    struct async *async;
    struct deploy *deploy;
    struct prepare *prepare;
    struct held_forms *held;
    struct spooler *spooler;
    struct s3 *s3;
    struct roles *roles;
    struct filesystems *filesystems;
    struct origins origins;
    struct fetcher *fetcher;
    struct switcher *switcher;
    struct settler *settler;
    struct auth *auth;
    struct api *api;
    struct job_pool *file_pool;
    struct http_tls *tls; /* NULL: plain HTTP */
    struct http_server *http;
    struct http_listener *listener;
    struct loop_timer drain_timer;
    bool is_draining;
    int drains_left; /* the clients' calls, and the events' */
    bool is_ready;
    int status;
};

/* ---- the arrows that go up */

static void on_spawn_lost(void *arg)
{
    struct server *server = arg;
    server->status = 1;
    loop_stop(server->loop);
}

static void on_appeared(void *arg, const struct version *version)
{
    struct server *server = arg;
    preparation_add(server->preparation, version);
}

static bool on_replacing(void *arg, const struct version *old, const struct version *draft,
                         void (*done)(void *done_arg), void *done_arg)
{
    struct server *server = arg;
    return preparation_before(server->preparation, old, draft, done, done_arg);
}

/* What an earlier life left undone; only now is it known whether templates can be made. */
static void on_greeted(void *arg)
{
    struct server *server = arg;
    preparation_resume(server->preparation);
}

/* A row of lamina-spawn's table of file systems. */
static void on_filesystem(void *arg, const struct spawn_filesystem *row)
{
    struct server *server = arg;
    mounts_take(server->filesystems, row);
}

static void on_retired(void *arg, const struct version *version)
{
    struct server *server = arg;
    scheduler_retire(server->scheduler, version);
    deploy_collect_soon(server->deploy);
}

static void live_add(void *arg, const struct version *version)
{
    const struct version_code *code = &version->code;
    deploy_live_add(arg, code->has_tree ? code->tree_id : NULL, code->zip_sha256);
    if (version->has_opt_tree)
        deploy_live_add(arg, version->opt_tree_id, NULL);
    /* Of a layer version that was deleted too: it may be merged anew beside another. */
    for (size_t i = 0; i < version->n_layers; i++)
        deploy_live_add(arg, version->layers[i].tree_id, NULL);
}

static void live_add_layer(void *arg, const struct layer_version *version)
{
    deploy_live_add(arg, version->tree_id, version->zip_sha256);
}

static void live_add_model(struct deploy_live *live, struct store_live_models *models,
                           const struct version_model *model)
{
    models->has_model = model->has_tree;
    if (model->has_tree) {
        memcpy(models->model.bytes, model->digest, DIGEST_BYTES);
        deploy_live_add(live, model->tree_id, NULL);
    }
    deploy_live_models_add(live, models);
}

static void live_add_models(struct deploy_live *live, const struct version *version, bool is_busy)
{
    struct store_live_models models = {.set = version_models_set(version), .is_busy = is_busy};
    live_add_model(live, &models, &version->model);
    if (version->prepared.has_form) { /* its link is beside the model of this digest */
        models.has_model = true;
        models.model = version->prepared.model;
        deploy_live_models_add(live, &models);
    }
    if (version->previous_model.has_tree)
        live_add_model(live, &models, &version->previous_model);
}

static void live_add_known(void *arg, const struct version *version)
{
    live_add(arg, version);
    live_add_models(arg, version, false);
}

static void live_add_running(void *arg, const struct version *version)
{
    live_add(arg, version);
    live_add_models(arg, version, true);
}

static void on_live(void *arg, struct deploy_live *live)
{
    struct server *server = arg;
    catalog_each_version(server->catalog, live_add_known, live);
    scheduler_each_version(server->scheduler, live_add_running, live);
    layers_each_version(server->layers, live_add_layer, live);
    prepared_models_live(server->prepare, server->catalog, live);
}

static void on_forget(void *arg, const struct digest *tree_id)
{
    struct server *server = arg;
    instance_host_forget_tree(server->host, tree_id->bytes);
}

/* The links are rebuildable: made again here when they are not as the registry says. */
static int check_one_model(struct server *server, const struct digest *set,
                           const struct version_model *model, struct error *err)
{
    struct digest digest, tree_id;
    bool is_rebuilt = false;
    if (!model->has_tree)
        return 0;
    memcpy(digest.bytes, model->digest, DIGEST_BYTES);
    memcpy(tree_id.bytes, model->tree_id, DIGEST_BYTES);
    int r = store_tree_check(server->store, &tree_id, &is_rebuilt, err);
    if (r == 0)
        r = store_models_put(server->store, set, &digest, &tree_id, NULL, err);
    return r < 0 ? error_wrap(err, r, "the model '%s'", model->name) : 0;
}

static int check_model(struct server *server, const struct version *version, struct error *err)
{
    struct digest set = version_models_set(version);
    int r = store_models_make(server->store, &set, err);
    if (r == 0)
        r = check_one_model(server, &set, &version->model, err);
    if (r == 0)
        r = check_one_model(server, &set, &version->previous_model, err);
    return r;
}

static int check_one_tree(struct server *server, const uint8_t *bytes, bool *is_rebuilt,
                          struct error *err)
{
    struct digest tree_id;
    bool is_new = false;
    memcpy(tree_id.bytes, bytes, sizeof(tree_id.bytes));
    int r = store_tree_check(server->store, &tree_id, &is_new, err);
    *is_rebuilt = *is_rebuilt || is_new;
    return r;
}

static int check_tree(void *arg, const struct version *version, struct error *err)
{
    struct server *server = arg;
    bool is_rebuilt = false;
    int r = check_one_tree(server, version->code.tree_id, &is_rebuilt, err);
    if (r == 0 && version->has_opt_tree)
        r = check_one_tree(server, version->opt_tree_id, &is_rebuilt, err);
    if (r == 0 && is_rebuilt)
        log_info("store.rebuilt", "function=%s version=%s", version->name, version->qualifier);
    if (r == 0)
        r = check_model(server, version, err);
    if (r == 0)
        prepared_models_check(server->prepare, version);
    if (r < 0)
        log_error("function.damaged", "function=%s version=%s error=%s", version->name,
                  version->qualifier, LOG_TEXT(err->text));
    return r;
}

/* ---- the end */

static void on_drained(void *arg)
{
    struct server *server = arg;
    if (--server->drains_left == 0)
        loop_stop(server->loop);
}

static void on_drain_timeout(void *arg)
{
    struct server *server = arg;
    log_warn("daemon.drain_timeout", "left=running calls are cut off");
    loop_stop(server->loop);
}

/* SIGTERM: no new connections; what is running is answered, for drain_s at most. A second one does not wait. */
static void on_signal(void *arg, int signal_number)
{
    struct server *server = arg;
    if (server->is_draining || !server->is_ready) {
        loop_stop(server->loop);
        return;
    }
    server->is_draining = true;
    log_info("daemon.stopping", "signal=%d", signal_number);
    notify("STOPPING=1");
    api_set_ready(server->api, false);
    if (loop_timer_start(server->loop, &server->drain_timer,
                         (int64_t) server->config->drain_s * 1000, on_drain_timeout, server) < 0) {
        loop_stop(server->loop);
        return;
    }
    server->drains_left = 2;
    async_stop(server->async, on_drained, server);
    http_server_drain(server->http, on_drained, server);
}

/* lamina-spawn's word for a SIGHUP. The two small files are read on the loop thread: rare, and asked for. */
static void on_reload(void *arg, int signal_number)
{
    struct server *server = arg;
    struct error err = {0};
    (void) signal_number;
    if (!server->tls)
        return;
    if (http_tls_reload(server->tls, &err) < 0)
        log_error("tls.reload_failed", "error=%s effect=%s", LOG_TEXT(err.text),
                  LOG_TEXT("the certificate that was there stays"));
    else
        log_info("tls.reloaded", "cert=%s", LOG_TEXT(server->config->tls_cert));
}

/* What must not be lost is written; the rest is the kernel's to take back, and the sandboxes are lamina-spawn's to end
 * when it reads end-of-file. The store stays open: a deployment, a spooled body or a collection may be at work in it on
 * its own thread, for as long as a package takes, and waiting for that could outlast the 30 s after which lamina-spawn
 * kills us. What it leaves in `tmp` goes at the next start, and the lock goes with the process. */
static void server_close(struct server *server)
{
    registry_close(server->registry);
    queue_close(server->queue);
    log_writer_free(server->log_writer);
    if (server->data_dir_fd >= 0 && server->listener)
        paths_remove(server->data_dir_fd);
}

/* ---- the beginning */

static int share_descriptors(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return error_set_errno(err, -errno, "read the limit of open files");
    limit.rlim_cur = limit.rlim_max;
    (void) setrlimit(RLIMIT_NOFILE, &limit); /* what counts is what it is then */
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return error_set_errno(err, -errno, "read the limit of open files");
    int r = descriptors_share(limit.rlim_cur, config->concurrency, config->connections,
                              &server->connections, err);
    if (r == 0 && server->connections < config->connections)
        log_warn("daemon.few_descriptors", "limit=%llu connections=%llu wanted=%llu effect=%s",
                 (unsigned long long) limit.rlim_cur, (unsigned long long) server->connections,
                 (unsigned long long) config->connections,
                 LOG_TEXT("fewer connections than configured; raise the hard limit of open files "
                          "or lower --concurrency or --connections"));
    return r;
}

static int open_file_pool(struct server *server, struct error *err)
{
    int r = job_pool_new(server->loop, "files", FILE_THREADS, FILE_JOBS_MAX, &server->file_pool);
    return r < 0 ? error_set_errno(err, r, "start the threads that read files") : 0;
}

static int open_data(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    AUTO_FD int logs_fd = -1;
    int r = 0;
    server->data_dir_fd = open(server->data_path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (server->data_dir_fd < 0)
        return error_set_errno(err, -errno, "open the data directory '%s'", config->data_dir);
    r = store_open(server->data_path, &server->store, err);
    if (r < 0)
        return r;
    r = registry_open(server->data_path, server->loop, &server->registry, err);
    if (r == 0)
        r = queue_open(server->data_path, server->loop, &server->queue, err);
    if (r < 0)
        return r;
    logs_fd = fs_make_dir_open(server->data_dir_fd, "logs", 0700);
    if (logs_fd < 0)
        return error_set_errno(err, logs_fd, "open '%s/logs'", config->data_dir);
    return log_writer_new(server->loop, TAKE_FD(logs_fd), &server->log_writer, err);
}

static int open_prepare(struct server *server, struct error *err)
{
    const struct prepare_config prepare = {.loop = server->loop,
                                           .store = server->store,
                                           .work_fd = server->work_fd,
                                           .data_dir_fd = server->data_dir_fd,
                                           .library = SPAWN_RUNTIME_MOUNT "/lib/libonnxruntime.so"};
    const struct held_config held = {.loop = server->loop,
                                     .store = server->store,
                                     .work_fd = server->work_fd,
                                     .bytes_max = server->config->cache_mb << 20};
    int r = prepare_new(&prepare, &server->prepare, err);
    if (r < 0)
        return r;
    r = held_new(&held, &server->held);
    if (r < 0)
        return error_set_errno(err, r, "start the model cache's thread");
    prepared_models_join(server->prepare, server->held, server->catalog);
    return 0;
}

static int open_catalog(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    const struct catalog_config catalog = {
        .region = config->region, .account = config->account_id, .registry = server->registry};
    int r = 0;
    server->catalog = catalog_new(&catalog);
    if (!server->catalog)
        return error_set(err, -ENOMEM, "make the catalog: no memory");
    r = open_prepare(server, err);
    if (r == 0)
        r = catalog_load(server->catalog, err);
    if (r < 0)
        return r;
    (void) catalog_check(server->catalog, check_tree, server); /* logged one by one */
    return layers_new(server->registry, &server->layers, err);
}

static int open_instances(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    const struct instance_host_config host = {.loop = server->loop,
                                              .spawn_fd = TAKE_FD(server->spawn_fd),
                                              .log_writer = server->log_writer,
                                              .file_pool = server->file_pool,
                                              .region = config->region,
                                              .lost = on_spawn_lost,
                                              .greeted = on_greeted,
                                              .filesystem = on_filesystem,
                                              .arg = server};
    const struct catalog_listener listener = {
        .retired = on_retired, .appeared = on_appeared, .replacing = on_replacing, .arg = server};
    struct scheduler_config scheduler = {
        .loop = server->loop,
        .mounter = {.resolve = mounts_resolve, .arg = server->filesystems},
        .limits = {.concurrency = (uint32_t) config->concurrency,
                   .queue_max = (uint32_t) config->queue,
                   .queue_bytes_max = config->queue_mb << 20,
                   .queue_wait_ms = (uint32_t) config->queue_wait_ms,
                   .starts_at_once = (uint32_t) config->starts_at_once,
                   .memory_reserve = config->memory_reserve_mb << 20,
                   .template_bytes = config->template_mb << 20,
                   .spares = (uint32_t) config->spares,
                   .freeze_after_ms = (uint32_t) config->freeze_after_ms,
                   .keepalive_s = (uint32_t) config->keepalive_s}};
    int r = instance_host_new(&host, &server->host, err);
    if (r < 0)
        return r;
    scheduler.host = server->host;
    r = scheduler_new(&scheduler, &server->scheduler, err);
    if (r < 0)
        return r;
    server->preparation = preparation_new(server->loop, server->catalog, server->scheduler);
    if (!server->preparation)
        return error_set(err, -ENOMEM, "prepare templates: no memory");
    catalog_set_listener(server->catalog, &listener);
    return 0;
}

static int open_async(struct server *server, struct error *err)
{
    const struct async_config async = {.loop = server->loop,
                                       .queue = server->queue,
                                       .catalog = server->catalog,
                                       .scheduler = server->scheduler,
                                       .roles = server->roles,
                                       .retry_ms = (int64_t) server->config->async_retry_ms};
    return async_new(&async, &server->async, err);
}

/* What a bucket named no longer is collected. */
static void on_dropped(void *arg)
{
    struct server *server = arg;
    deploy_collect_soon(server->deploy);
}

static int open_s3(struct server *server, struct error *err)
{
    const struct s3_config s3 = {.loop = server->loop,
                                 .store = server->store,
                                 .data_dir = server->data_path,
                                 .dropped = on_dropped,
                                 .arg = server};
    return s3_new(&s3, &server->s3, err);
}

static int open_deploy(struct server *server, struct error *err)
{
    const struct deploy_config deploy = {.loop = server->loop,
                                         .store = server->store,
                                         .work_fd = server->work_fd,
                                         .live = on_live,
                                         .is_named = s3_names,
                                         .is_named_arg = server->s3,
                                         .forget = on_forget,
                                         .arg = server,
                                         .collect_after_ms =
                                             (int64_t) server->config->collect_after_s * 1000};
    int r = deploy_new(&deploy, &server->deploy);
    if (r < 0)
        return error_set_errno(err, r, "start the deployment threads");
    server->spooler = spooler_new(server->loop, server->store);
    if (!server->spooler)
        return error_set(err, -ENOMEM, "start the spooling threads");
    return 0;
}

static void remember_model(void *arg, const struct version *version)
{
    const struct version_model *model = &version->model;
    const char *uri = version_model_uri(version);
    struct server *server = arg;
    struct fetch_memory memory = {.bytes = model->bytes};
    if (!uri || !model->has_tree)
        return;
    memcpy(memory.tree_id.bytes, model->tree_id, DIGEST_BYTES);
    memcpy(memory.digest.bytes, model->digest, DIGEST_BYTES);
    fetcher_remember(server->fetcher, uri, model->mark, &memory);
}

static int open_fetcher(struct server *server, struct error *err)
{
    struct fetcher_config fetcher = {.loop = server->loop,
                                     .store = server->store,
                                     .roles = server->roles,
                                     .origins = &server->origins,
                                     .local = fetch_local_of(server->s3),
                                     .file_fd = SPAWN_FD_WORK};
    int r = origins_parse(str_of(server->config->s3_origins), &server->origins, err);
    if (r < 0)
        return r;
    r = fetcher_new(&fetcher, &server->fetcher);
    if (r < 0)
        return error_set_errno(err, r, "start the fetching threads");
    server->switcher = switcher_new(server->loop, server->catalog, server->scheduler);
    if (server->switcher)
        server->settler =
            settler_new(server->loop, server->catalog, server->scheduler, server->switcher);
    if (!server->settler)
        return error_set(err, -ENOMEM, "no memory");
    catalog_each_version(server->catalog, remember_model, server);
    return 0;
}

static int open_auth(struct server *server, struct error *err)
{
    struct credentials credentials;
    struct auth_config auth = {.region = server->config->region};
    int r = credentials_load(server->data_dir_fd, &credentials, err);
    if (r < 0)
        return r;
    auth.access_key = credentials.access_key;
    auth.secret = credentials.secret;
    r = auth_new(&auth, &server->auth);
    credentials_wipe(&credentials);
    return r < 0 ? error_set_errno(err, r, "set up authentication") : 0;
}

static int open_roles(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    int r = roles_open(server->registry, config->region, config->account_id, &server->roles, err);
    if (r == 0)
        r = filesystems_new(server->registry, server->roles, config->region, config->account_id,
                            &server->filesystems, err);
    return r;
}

static int open_tls(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    return config->tls_cert[0] ? http_tls_new(config->tls_cert, config->tls_key, &server->tls, err)
                               : 0;
}

static enum api_limits api_limits_of(const struct config *config)
{
    static const enum api_limits limits[] = {
        [AWS_LIMITS_ENFORCE] = API_LIMITS_ENFORCE,
        [AWS_LIMITS_WARN] = API_LIMITS_WARN,
        [AWS_LIMITS_OFF] = API_LIMITS_OFF,
    };
    return limits[config->aws_limits];
}

static int open_api(struct server *server, struct error *err)
{
    const struct api_config api = {.loop = server->loop,
                                   .auth = server->auth,
                                   .catalog = server->catalog,
                                   .layers = server->layers,
                                   .scheduler = server->scheduler,
                                   .registry = server->registry,
                                   .roles = server->roles,
                                   .switcher = server->switcher,
                                   .fetcher = server->fetcher,
                                   .filesystems = server->filesystems,
                                   .queue = server->queue,
                                   .async = server->async,
                                   .spooler = server->spooler,
                                   .s3 = server->s3,
                                   .deploy = server->deploy,
                                   .held = server->held,
                                   .store = server->store,
                                   .logs = server->log_writer,
                                   .limits = api_limits_of(server->config),
                                   .concurrency = (uint32_t) server->config->concurrency,
                                   .is_tls = server->tls != NULL};
    int r = api_new(&api, &server->api, err);
    if (r < 0)
        return r;
    const struct instance_platform platform = {.on_head = api_on_platform_head,
                                               .on_model = api_on_model,
                                               .format_fault = api_format_fault,
                                               .arg = server->api};
    instance_host_set_platform(server->host, &platform);
    return 0;
}

/* "127.0.0.1:4566", "[::1]:4566" */
static int listen_split(const char *text, char address[ADDRESS_MAX], uint16_t *ret_port)
{
    struct str whole = str_of(text), host = {0};
    ptrdiff_t colon = str_find_last(whole, ':');
    uint64_t port = 0;
    if (colon <= 0 || str_to_u64(str_skip(whole, (size_t) colon + 1), 65535, &port) < 0)
        return -EINVAL;
    host = str_part(whole, 0, (size_t) colon);
    if (host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']')
        host = str_part(host, 1, host.size - 2);
    *ret_port = (uint16_t) port;
    return str_copy(host, address, ADDRESS_MAX);
}

static int open_http(struct server *server, struct error *err)
{
    /* A request that is refused early is still read to its end: clients that send all of a 67 MB
     * CreateFunction before they look for an answer find it, and not a reset. */
    struct http_server_config http = {.connections_max = server->connections,
                                      .discard_bytes_max = LIMIT_CREATE_REQUEST_MAX + (1 << 20),
                                      .has_date = true,
                                      .tls = server->tls,
                                      .on_head = api_on_head,
                                      .format_fault = api_format_fault,
                                      .user = server->api};
    char address[ADDRESS_MAX];
    uint16_t port = 0;
    int r = listen_split(server->config->listen, address, &port);
    if (r < 0)
        return error_set(err, r, "listen: '%s' is not address:port", server->config->listen);
    http.file_pool = server->file_pool;
    r = http_server_new(server->loop, &http, &server->http);
    if (r < 0)
        return error_set_errno(err, r, "start the HTTP server");
    r = http_listen_tcp(server->http, address, port, &server->listener, err);
    if (r < 0)
        return r;
    api_set_server(server->api, server->http);
    return paths_write_endpoint(server->data_dir_fd, server->tls, address,
                                http_listener_port(server->listener), err);
}

static int open_all(struct server *server, struct error *err)
{
    int (*const steps[])(struct server *, struct error *) = {
        open_data, open_file_pool, open_roles,   open_catalog, open_instances, open_async,
        open_s3,   open_deploy,    open_fetcher, open_auth,    open_tls,       open_api,
    };
    server->loop = loop_new();
    if (!server->loop)
        return error_set(err, -ENOMEM, "make the event loop");
    if (loop_signal(server->loop, SIGTERM, on_signal, server) < 0 ||
        loop_signal(server->loop, SIGINT, on_signal, server) < 0 ||
        loop_signal(server->loop, SIGUSR1, on_reload, server) < 0)
        return error_set(err, -EIO, "watch signals");
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        int r = steps[i](server, err);
        if (r < 0)
            return r;
    }
    /* The pid before the endpoint: who finds the endpoint may want to end us. */
    int r = paths_write_pid(server->data_dir_fd, getppid(), err);
    return r < 0 ? r : open_http(server, err);
}

static void announce(struct server *server)
{
    api_resume(server->api);
    settle_all(server->settler);
    deploy_collect_soon(server->deploy);
    api_set_ready(server->api, true);
    server->is_ready = true;
    log_info("daemon.ready", "version=%s listen=%s port=%u data_dir=%s", LAMINA_VERSION,
             server->config->listen, (unsigned) http_listener_port(server->listener),
             LOG_TEXT(server->config->data_dir));
    notify("READY=1");
}

int server_run(const struct config *config, const char *data_path, int spawn_fd, int work_fd,
               struct error *err)
{
    static struct server server; /* threads may outlive this call: see server_close */
    server = (struct server){.config = config,
                             .data_path = data_path,
                             .spawn_fd = spawn_fd,
                             .work_fd = work_fd,
                             .data_dir_fd = -1};
    if (share_descriptors(&server, err) < 0 || open_all(&server, err) < 0) {
        server_close(&server);
        return 1;
    }
    announce(&server);
    loop_run(server.loop);
    log_info("daemon.stopped", "status=%d", server.status);
    server_close(&server);
    return server.status;
}
