/* maskd: the process. Reads the options, loads the model, serves until SIGTERM or SIGINT, drains.
 */
#include <malloc.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/fetch.h"
#include "server/guards.h"
#include "server/http.h"
#include "server/log.h"
#include "server/sources.h"

enum { TICK_MS = 100, REST_TICKS = 10, LONG_REST_TICKS = 30 };

static long long worker_count(const struct options *options) {
    return options->workers > 0 ? options->workers : usable_cores();
}

/* ---- what --version and the first log line say ------------------------------------------- */

static void print_version(const struct options *options, const struct model_info *model) {
    printf("maskd " MASKD_VERSION "\n");
    if (model)
        printf("model    %s (%s, %.1f million parameters)\nweights  sha256:%s\n", model->name,
               model->architecture, (double)model->parameter_count * 1e-6, model->weights_sha256);
    else
        printf("model    %s cannot be loaded\n", options->model);
    printf("kernels  OpenBLAS %s, own %s\nthreads  %lld workers, %lld http\n", engine_blas_core(),
           engine_kernel_isa(), worker_count(options), options->http_threads);
}

static const char *precision_name(enum precision precision) {
    return precision == PRECISION_BF16 ? "bf16" : "fp32";
}

static void log_start(const struct options *options, const struct model_info *model) {
    log_event(LOG_INFO, "maskd", LOG_STRING("version", MASKD_VERSION),
              LOG_STRING("model", model->name), LOG_STRING("weights_sha256", model->weights_sha256),
              LOG_STRING("openblas_core", engine_blas_core()),
              LOG_STRING("kernels", engine_kernel_isa()),
              LOG_STRING("precision", precision_name(model->precision)),
              LOG_INTEGER("workers", worker_count(options)),
              LOG_INTEGER("http_threads", options->http_threads),
              LOG_STRING("config", options->config[0] ? options->config : "none"));
    if (options->precision == PRECISION_BF16 && model->precision != PRECISION_BF16)
        log_event(LOG_WARNING,
                  "precision = bf16 needs AVX-512-BF16, which this CPU lacks: fp32 is used");
}

/* ---- the parts of the server ------------------------------------------------------------- */

static enum status create_pool(struct server *server, struct error *error) {
    const struct options *options = server->options;
    struct pool_options pool = {
        .workers = (int)worker_count(options),
        .scratch_bytes = model_tile_scratch_bytes(server->model),
        .queue_limit = {(size_t)options->prompt_queue, (size_t)options->upload_queue},
        .running_limit = {0, 1}, /* one encode at a time, by all workers: the memory of one */
    };
    return pool_create(&pool, &server->pool, error);
}

static enum status create_parts(struct server *server, struct error *error) {
    size_t jobs_at_once = 2 * (size_t)worker_count(server->options); /* of both lanes */
    enum status status = guards_create(server, error);
    if (status == STATUS_OK)
        status = create_pool(server, error);
    if (status != STATUS_OK)
        return status;
    server->sessions = sessions_create(server->model, jobs_at_once);
    server->store = store_create((size_t)server->options->store_memory);
    server->catalogue = server->store ? catalogue_create(server->store) : NULL;
    server->preparations = preparations_create(server->model);
    server->metrics = metrics_create();
    server->refinements = refinements_create((size_t)server->options->refine_memory);
    server->runs = runs_create((size_t)server->options->everything_memory);
    server->sources = sources_create();
    if (!server->sessions || !server->preparations || !server->catalogue || !server->refinements ||
        !server->metrics || !server->runs || !server->sources)
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    status = fetcher_create(server, &server->fetcher, error);
    return status == STATUS_OK ? http_start(server, &server->http, error) : status;
}

/* The pool is closed first, and nothing is fetched any more: their requests are answered, which
 * must not see http go. What arrives after that is refused. */
static void destroy_parts(struct server *server) {
    if (server->pool)
        pool_close(server->pool);
    fetcher_stop(server->fetcher);
    for (int i = 0; i < 20 && atomic_load(&server->answers_open) > 0; i++)
        usleep(TICK_MS * 1000); /* the last answers go out */
    http_stop(server->http);
    fetcher_free(server->fetcher);
    sources_free(server->sources);
    pool_free(server->pool);
    preparations_free(server->preparations);
    refinements_free(server->refinements);
    runs_free(server->runs);
    catalogue_free(server->catalogue);
    store_free(server->store);
    sessions_free(server->sessions);
    model_free(server->model);
    metrics_free(server->metrics);
    guards_free(server);
}

/* ---- the main loop ----------------------------------------------------------------------- */

/* Posted once for each signal to stop. A handler, because blocking the signals is not enough: the
 * threads that OpenBLAS starts before main() would die of them, and with them the process. */
static sem_t stop_requests;

static void request_stop(int signal) {
    (void)signal;
    sem_post(&stop_requests);
}

/* SIGHUP came: files are to be read again. */
static volatile sig_atomic_t reload_requested;

static void request_reload(int signal) {
    (void)signal;
    reload_requested = 1;
}

static void catch_signals(void) {
    struct sigaction reload = {.sa_handler = request_reload, .sa_flags = SA_RESTART};
    struct sigaction stop = {.sa_handler = request_stop, .sa_flags = SA_RESTART};
    sem_init(&stop_requests, 0, 0);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &reload, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Waits for a tick. True when a signal to stop came. */
static bool tick(struct server *server) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += TICK_MS * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    bool stop = sem_clockwait(&stop_requests, CLOCK_MONOTONIC, &end) == 0;
    int64_t now = clock_now_ns();
    http_reap(server->http, now); /* notes who has left, which pool_expire asks for */
    pool_expire(server->pool, now);
    return stop;
}

static bool is_idle(struct server *server) {
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        struct lane_state state = pool_lane_state(server->pool, (enum lane)lane);
        if (state.queued || state.running)
            return false;
    }
    return true;
}

static void trim(struct server *server, enum trim trim) {
    sessions_trim(server->sessions, trim);
    preparations_trim(server->preparations, trim);
    if (trim == TRIM_ALL)
        pool_trim(server->pool);
    malloc_trim(0);
}

/* Memory goes back to the system after a second of rest; what makes the next click quick, after
 * three. */
static void serve(struct server *server) {
    int idle_ticks = 0;
    while (!tick(server)) {
        if (reload_requested) {
            reload_requested = 0;
            guards_reload(server);
        }
        idle_ticks = is_idle(server) ? idle_ticks + 1 : 0;
        if (idle_ticks == REST_TICKS)
            trim(server, TRIM_ENCODING);
        if (idle_ticks == LONG_REST_TICKS)
            trim(server, TRIM_ALL);
    }
}

/* Ordered: no new work, then what is in flight, for drain_seconds at most; a second signal ends it.
 */
static void drain(struct server *server) {
    int64_t end = seconds_from_now(server->options->drain_seconds);
    atomic_store(&server->draining, true);
    http_quiesce(server->http);
    log_event(LOG_INFO, "draining",
              LOG_INTEGER("requests", (int64_t)atomic_load(&server->requests_open)));
    while (atomic_load(&server->requests_open) > 0 && clock_now_ns() < end)
        if (tick(server))
            break;
}

/* ---- start ------------------------------------------------------------------------------- */

/* Enough file descriptors for all connections, if the system allows it. */
static void raise_file_limit(const struct options *options) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)options->max_connections + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted)
        log_event(LOG_WARNING, "the limit of open files is below max_connections",
                  LOG_INTEGER("files", (int64_t)limit.rlim_cur));
}

static int check_config(const struct options *options, int faults) {
    struct error error = {0};
    struct model *model = NULL;
    if (model_load(options->model, options->precision, &model, &error) != STATUS_OK) {
        fprintf(stderr, "maskd: model = '%s': %s\n", options->model, error.message);
        faults++;
    }
    model_free(model);
    faults += guards_check(options, stderr);
    faults += fetcher_check(options, stderr);
    if (faults == 0)
        options_print(options, stdout);
    else
        fprintf(stderr, "maskd: %d fault%s\n", faults, faults == 1 ? "" : "s");
    return faults == 0 ? 0 : 1;
}

static int show_version(const struct options *options) {
    struct model *model = NULL;
    enum status status = model_load(options->model, options->precision, &model, NULL);
    print_version(options, status == STATUS_OK ? model_info(model) : NULL);
    model_free(model);
    return 0;
}

static int run(const struct options *options) {
    static struct server server; /* zeroed */
    struct error error = {0};
    server.options = options;
    enum status status = model_load(options->model, options->precision, &server.model, &error);
    if (status != STATUS_OK) {
        log_event(LOG_ERROR, "the model cannot be loaded", LOG_STRING("model", options->model),
                  LOG_STRING("why", error.message));
        return 1;
    }
    log_start(options, model_info(server.model));
    raise_file_limit(options);
    status = create_parts(&server, &error);
    if (status == STATUS_OK) {
        log_event(LOG_INFO, "listening", LOG_STRING("host", options->host),
                  LOG_INTEGER("port", http_port(server.http)));
        serve(&server);
        drain(&server);
    } else {
        log_event(LOG_ERROR, "cannot start", LOG_STRING("why", error.message));
    }
    destroy_parts(&server);
    if (status == STATUS_OK)
        log_event(LOG_INFO, "stopped", LOG_STRING("reason", "signal"));
    return status == STATUS_OK ? 0 : 1;
}

int main(int argc, char **argv) {
    static struct options options;
    catch_signals();
    /* Images and embeddings go back to the system when they are freed, not into malloc's heaps. */
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    mallopt(M_ARENA_MAX, 4);
    engine_init();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int faults = options_read(argc, argv, &options, stderr);
    if (options.help) {
        options_help(stdout);
        return 0;
    }
    if (options.check_config)
        return check_config(&options, faults);
    if (faults > 0) {
        fprintf(stderr, "maskd: %d fault%s in the configuration; --help lists the options\n",
                faults, faults == 1 ? "" : "s");
        return 2;
    }
    log_configure(options.log_level, options.log_format);
    if (options.version)
        return show_version(&options);
    return run(&options);
}
