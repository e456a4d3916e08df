#include "server/fetch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/log.h"

enum { REDIRECTS_MAX = 5, POLL_MS = 1000, CONNECT_SECONDS = 5 };

/* One of a fetch, from its address to its answer; the next one after a redirect. */
struct transfer {
    struct fetcher *fetcher;
    struct fetch *fetch;
    CURL *easy;
    CURLU *address;
    struct curl_slist *headers;
    int redirects;
    LIST_ENTRY(transfer) link;
};

STAILQ_HEAD(fetches, fetch);
LIST_HEAD(transfers, transfer);

struct fetcher {
    struct server *server;
    struct fetch_rules *rules;
    CURLM *multi;
    pthread_t thread;
    bool started;
    struct transfers transfers; /* the thread's */
    size_t active;              /* of these; the thread's */

    pthread_mutex_t mutex; /* guards what follows */
    struct fetches waiting;
    size_t waiting_count;
    bool stopping;
};

/* ---- a transfer -------------------------------------------------------------------------- */

static void end_transfer(struct transfer *transfer) {
    struct fetcher *fetcher = transfer->fetcher;
    struct fetch *fetch = transfer->fetch;
    curl_multi_remove_handle(fetcher->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    curl_url_cleanup(transfer->address);
    LIST_REMOVE(transfer, link);
    free(transfer);
    fetcher->active--;
    if (fetch->problem.type != PROBLEM_NONE)
        body_free(fetcher->server, &fetch->body);
    fetch->done(fetch);
}

/* libcurl's write callback. Less than what came ends the transfer. */
static size_t on_data(char *data, size_t one, size_t size, void *user) {
    struct transfer *transfer = user;
    struct fetch *fetch = transfer->fetch;
    struct server *server = transfer->fetcher->server;
    (void)one; /* always 1 */
    if (size > (size_t)server->options->max_body - fetch->body.size)
        problem_set(&fetch->problem, PROBLEM_TOO_LARGE,
                    "the image at its address is larger than max_body, %lld bytes",
                    server->options->max_body);
    else if (!body_append(server, &fetch->body, data, size))
        problem_set(&fetch->problem, PROBLEM_OVERLOADED,
                    "the uploads in flight fill upload_memory, %lld bytes",
                    server->options->upload_memory);
    return fetch->problem.type == PROBLEM_NONE ? size : 0;
}

/* The address, and the token if it is for this host. */
static bool set_address(struct transfer *transfer, const char *text) {
    const char *authorization;
    CURLU *address = fetch_rules_resolve(transfer->fetcher->rules, text, &authorization,
                                         &transfer->fetch->problem);
    if (!address)
        return false;
    curl_url_cleanup(transfer->address);
    transfer->address = address;
    curl_slist_free_all(transfer->headers);
    transfer->headers = authorization ? curl_slist_append(NULL, authorization) : NULL;
    if (authorization && !transfer->headers) {
        problem_set(&transfer->fetch->problem, PROBLEM_INTERNAL, "out of memory");
        return false;
    }
    curl_easy_setopt(transfer->easy, CURLOPT_CURLU, address);
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
    return true;
}

static void set_options(struct transfer *transfer) {
    const struct options *options = transfer->fetcher->server->options;
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "maskd/" MASKD_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)options->fetch_timeout);
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)options->max_body);
}

/* False: it is over, and done was called. */
static void begin(struct fetcher *fetcher, struct fetch *fetch) {
    struct transfer *transfer = calloc(1, sizeof *transfer);
    CURL *easy = curl_easy_init();
    if (!transfer || !easy) {
        free(transfer);
        curl_easy_cleanup(easy);
        problem_set(&fetch->problem, PROBLEM_INTERNAL, "out of memory");
        fetch->done(fetch);
        return;
    }
    *transfer = (struct transfer){.fetcher = fetcher, .fetch = fetch, .easy = easy};
    LIST_INSERT_HEAD(&fetcher->transfers, transfer, link);
    fetcher->active++;
    set_options(transfer);
    if (!set_address(transfer, fetch->address) ||
        curl_multi_add_handle(fetcher->multi, easy) != CURLM_OK) {
        problem_set(&fetch->problem, PROBLEM_INTERNAL, "out of memory");
        end_transfer(transfer);
    }
}

/* ---- how it ends ------------------------------------------------------------------------- */

/* True: it goes on at another address. */
static bool follow(struct transfer *transfer) {
    char *location = NULL;
    curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &location);
    if (!location)
        return false;
    if (transfer->redirects++ == REDIRECTS_MAX) {
        problem_set(&transfer->fetch->problem, PROBLEM_FETCH_FAILED,
                    "the image's address redirects more than %d times", REDIRECTS_MAX);
        return false;
    }
    char *copy = strdup(location); /* libcurl's own goes with the next address */
    body_free(transfer->fetcher->server, &transfer->fetch->body);
    curl_multi_remove_handle(transfer->fetcher->multi, transfer->easy);
    bool goes_on = copy && set_address(transfer, copy) &&
                   curl_multi_add_handle(transfer->fetcher->multi, transfer->easy) == CURLM_OK;
    free(copy);
    if (!goes_on)
        problem_set(&transfer->fetch->problem, PROBLEM_INTERNAL, "out of memory");
    return goes_on;
}

static void judge(struct transfer *transfer, CURLcode code) {
    struct problem *problem = &transfer->fetch->problem;
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_FILESIZE_EXCEEDED)
        problem_set(problem, PROBLEM_TOO_LARGE,
                    "the image at its address is larger than max_body, %lld bytes",
                    transfer->fetcher->server->options->max_body);
    else if (code != CURLE_OK)
        problem_set(problem, PROBLEM_FETCH_FAILED, "the image cannot be fetched: %s",
                    curl_easy_strerror(code));
    else if (status != 200)
        problem_set(problem, PROBLEM_FETCH_FAILED, "the image's address answers %ld", status);
    else if (transfer->fetch->body.size == 0)
        problem_set(problem, PROBLEM_FETCH_FAILED, "the image's address answers with nothing");
}

static void finish(struct transfer *transfer, CURLcode code) {
    if (code == CURLE_OK && follow(transfer))
        return;
    char host[256] = "";
    judge(transfer, code);
    fetch_rules_host(transfer->address, host, sizeof host); /* the rest may have secrets */
    log_event(LOG_INFO, "fetched", LOG_STRING("host", host),
              LOG_INTEGER("size", (int64_t)transfer->fetch->body.size),
              LOG_STRING("problem", transfer->fetch->problem.detail));
    end_transfer(transfer);
}

/* ---- the thread -------------------------------------------------------------------------- */

static void take_waiting(struct fetcher *fetcher) {
    const size_t most = (size_t)fetcher->server->options->fetch_connections;
    while (fetcher->active < most) {
        pthread_mutex_lock(&fetcher->mutex);
        struct fetch *fetch = STAILQ_FIRST(&fetcher->waiting);
        if (fetch) {
            STAILQ_REMOVE_HEAD(&fetcher->waiting, link);
            fetcher->waiting_count--;
        }
        pthread_mutex_unlock(&fetcher->mutex);
        if (!fetch)
            return;
        begin(fetcher, fetch);
    }
}

static bool is_stopping(struct fetcher *fetcher) {
    pthread_mutex_lock(&fetcher->mutex);
    bool stopping = fetcher->stopping;
    pthread_mutex_unlock(&fetcher->mutex);
    return stopping;
}

static void *run(void *user) {
    struct fetcher *fetcher = user;
    while (!is_stopping(fetcher)) {
        int unused;
        CURLMsg *message;
        take_waiting(fetcher);
        curl_multi_perform(fetcher->multi, &unused);
        bool ended = false;
        while ((message = curl_multi_info_read(fetcher->multi, &unused))) {
            struct transfer *transfer;
            const CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
            finish(transfer, code);
            ended = true;
        }
        if (!ended) /* otherwise there is room for one that waits, or a redirect to begin */
            curl_multi_poll(fetcher->multi, NULL, 0, POLL_MS, NULL);
    }
    return NULL;
}

/* ---- the fetcher ------------------------------------------------------------------------- */

static enum status make_rules(const struct options *options, struct fetch_rules **rules,
                              struct error *error) {
    return fetch_rules_create(options->fetch_hosts, options->fetch_base, options->fetch_token_file,
                              rules, error);
}

int fetcher_check(const struct options *options, FILE *faults) {
    struct fetch_rules *rules;
    struct error error = {0};
    const bool good = make_rules(options, &rules, &error) == STATUS_OK;
    if (!good)
        fprintf(faults, "maskd: %s\n", error.message);
    fetch_rules_free(rules);
    return good ? 0 : 1;
}

enum status fetcher_create(struct server *server, struct fetcher **out, struct error *error) {
    const struct options *options = server->options;
    struct fetch_rules *rules;
    *out = NULL;
    enum status status = make_rules(options, &rules, error);
    if (status != STATUS_OK)
        return status;
    if (!options->fetch_hosts[0] && !options->fetch_base[0]) {
        fetch_rules_free(rules);
        return STATUS_OK;
    }
    struct fetcher *fetcher = calloc(1, sizeof *fetcher);
    if (!fetcher) {
        fetch_rules_free(rules);
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    }
    fetcher->server = server;
    fetcher->rules = rules;
    LIST_INIT(&fetcher->transfers);
    STAILQ_INIT(&fetcher->waiting);
    pthread_mutex_init(&fetcher->mutex, NULL);
    fetcher->multi = curl_multi_init();
    fetcher->started = fetcher->multi && pthread_create(&fetcher->thread, NULL, run, fetcher) == 0;
    if (!fetcher->started) {
        fetcher_free(fetcher);
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    }
    *out = fetcher;
    return STATUS_OK;
}

bool fetcher_submit(struct fetcher *fetcher, struct fetch *fetch, struct problem *problem) {
    fetch->body = (struct body){0};
    fetch->problem = (struct problem){0};
    if (!fetcher) {
        problem_set(problem, PROBLEM_INVALID_REQUEST,
                    "no image is fetched by its address: fetch_hosts names no host");
        return false;
    }
    pthread_mutex_lock(&fetcher->mutex);
    if (fetcher->stopping)
        problem_set(problem, PROBLEM_DRAINING, "the daemon is stopping");
    else if (fetcher->waiting_count >= (size_t)fetcher->server->options->upload_queue)
        problem_set(problem, PROBLEM_OVERLOADED, "too many images wait to be fetched");
    else
        fetcher->waiting_count++;
    const bool good = problem->type == PROBLEM_NONE;
    if (good)
        STAILQ_INSERT_TAIL(&fetcher->waiting, fetch, link);
    pthread_mutex_unlock(&fetcher->mutex);
    if (good)
        curl_multi_wakeup(fetcher->multi);
    return good;
}

void fetcher_stop(struct fetcher *fetcher) {
    struct transfer *transfer;
    struct fetch *fetch;
    if (!fetcher || !fetcher->started)
        return;
    pthread_mutex_lock(&fetcher->mutex);
    fetcher->stopping = true;
    pthread_mutex_unlock(&fetcher->mutex);
    curl_multi_wakeup(fetcher->multi);
    pthread_join(fetcher->thread, NULL);
    fetcher->started = false;
    while ((transfer = LIST_FIRST(&fetcher->transfers))) {
        problem_set(&transfer->fetch->problem, PROBLEM_DRAINING, "the daemon is stopping");
        end_transfer(transfer);
    }
    while ((fetch = STAILQ_FIRST(&fetcher->waiting))) {
        STAILQ_REMOVE_HEAD(&fetcher->waiting, link);
        problem_set(&fetch->problem, PROBLEM_DRAINING, "the daemon is stopping");
        fetch->done(fetch);
    }
}

void fetcher_free(struct fetcher *fetcher) {
    if (!fetcher)
        return;
    curl_multi_cleanup(fetcher->multi);
    fetch_rules_free(fetcher->rules);
    pthread_mutex_destroy(&fetcher->mutex);
    free(fetcher);
}
