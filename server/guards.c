#include "server/guards.h"

#include <netdb.h>
#include <sys/socket.h>

#include "server/caller.h"
#include "server/cors.h"
#include "server/log.h"
#include "server/tls.h"

static enum status make_keys(struct server *server, struct error *error) {
    return server->options->api_keys[0]
               ? keys_create(server->options->api_keys, &server->keys, error)
               : STATUS_OK;
}

static enum status make_rates(struct server *server, struct error *error) {
    const struct options *options = server->options;
    if (options->rate_limit == 0)
        return STATUS_OK;
    server->rates = rates_create(options->rate_limit, options->rate_burst);
    return server->rates ? STATUS_OK : error_set(error, STATUS_NO_MEMORY, "out of memory");
}

static enum status check_origins(struct server *server, struct error *error) {
    return cors_check(server->options->cors_origins, error);
}

static enum status load_tls(const struct options *options, struct error *error) {
    return tls_load(options->tls_certificate, options->tls_key, error);
}

static enum status make_tls(struct server *server, struct error *error) {
    const struct options *options = server->options;
    return options->tls_certificate[0] && options->tls_key[0] ? load_tls(options, error)
                                                              : STATUS_OK;
}

/* A name that is not known is told by who listens. */
static bool is_this_machine(const char *host) {
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *addresses;
    if (getaddrinfo(host, NULL, &hints, &addresses) != 0)
        return true;
    bool loopback = true;
    for (const struct addrinfo *at = addresses; at; at = at->ai_next) {
        struct caller caller = caller_of(at->ai_addr);
        loopback = loopback && caller_is_loopback(&caller);
    }
    freeaddrinfo(addresses);
    return loopback;
}

static enum status check_anonymous(struct server *server, struct error *error) {
    const struct options *options = server->options;
    if (options->api_keys[0] || options->allow_anonymous || is_this_machine(options->host))
        return STATUS_OK;
    return error_set(error, STATUS_INVALID,
                     "host = %.100s: others than this machine could come in without a key; set "
                     "api_keys to a file of keys, or allow_anonymous to true",
                     options->host);
}

static enum status (*const MAKERS[])(struct server *, struct error *) = {
    make_keys, make_rates, check_origins, make_tls, check_anonymous};

enum { MAKER_COUNT = sizeof MAKERS / sizeof *MAKERS };

enum status guards_create(struct server *server, struct error *error) {
    enum status status = STATUS_OK;
    for (int i = 0; i < MAKER_COUNT && status == STATUS_OK; i++)
        status = MAKERS[i](server, error);
    return status;
}

void guards_free(struct server *server) {
    keys_free(server->keys);
    rates_free(server->rates);
    tls_unload();
}

int guards_check(const struct options *options, FILE *faults) {
    struct server server = {.options = options};
    int count = 0;
    for (int i = 0; i < MAKER_COUNT; i++) {
        struct error error = {0};
        if (MAKERS[i](&server, &error) != STATUS_OK) {
            fprintf(faults, "maskd: %s\n", error.message);
            count++;
        }
    }
    guards_free(&server);
    return count;
}

static void log_reload(const char *file, enum status status, const struct error *error) {
    if (status == STATUS_OK)
        log_event(LOG_INFO, "read again", LOG_STRING("file", file));
    else
        log_event(LOG_ERROR, "cannot be read again; what was read before stays",
                  LOG_STRING("file", file), LOG_STRING("why", error->message));
}

void guards_reload(struct server *server) {
    const struct options *options = server->options;
    struct error error = {0};
    if (server->keys)
        log_reload(options->api_keys, keys_reload(server->keys, &error), &error);
    if (options->tls_certificate[0])
        log_reload(options->tls_certificate, load_tls(options, &error), &error);
    if (!server->keys && !options->tls_certificate[0])
        log_event(LOG_INFO, "nothing to read again",
                  LOG_STRING("reason", "no api_keys, no tls_certificate"));
}
