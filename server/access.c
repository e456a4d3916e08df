#include "server/access.h"

#include <nettle/base64.h>
#include <string.h>
#include <strings.h>

#include "server/clock.h"

/* ---- the key that a request brings ------------------------------------------------------- */

/* The rest of the value when it begins with this scheme; or NULL. */
static const char *after_scheme(const char *value, const char *scheme) {
    const size_t length = strlen(scheme);
    if (!value || strncasecmp(value, scheme, length) != 0 || value[length] != ' ')
        return NULL;
    return value + length + strspn(value + length, " ");
}

static bool find_key(struct request *request, const char *secret, struct key *key) {
    return secret && keys_find(request->server->keys, secret, strlen(secret), key);
}

/* RFC 7617: the password is the key, whatever the user's name is. */
static bool find_basic_key(struct request *request, const char *encoded, struct key *key) {
    uint8_t decoded[2 * KEY_MAX];
    size_t size = sizeof decoded, length = encoded ? strlen(encoded) : 0;
    struct base64_decode_ctx base64;
    base64_decode_init(&base64);
    if (length == 0 || BASE64_DECODE_LENGTH(length) > sizeof decoded ||
        !base64_decode_update(&base64, &size, decoded, length, encoded) ||
        !base64_decode_final(&base64))
        return false;
    const uint8_t *colon = memchr(decoded, ':', size);
    return colon && keys_find(request->server->keys, (const char *)colon + 1,
                              size - (size_t)(colon + 1 - decoded), key);
}

/* A parameter counts on routes that take one of this name. */
static const char *key_parameter(struct request *request) {
    for (int i = 0; request->route && i < ROUTE_PARAMETERS_MAX; i++) {
        const char *name = request->route->parameters[i];
        if (name && strcmp(name, "api_key") == 0)
            return request_query(request, name);
    }
    return NULL;
}

static bool has_key(struct request *request, struct key *key) {
    const char *authorization = request_header(request, MHD_HTTP_HEADER_AUTHORIZATION);
    return find_key(request, request_header(request, "X-API-Key"), key) ||
           find_key(request, after_scheme(authorization, "Bearer"), key) ||
           find_basic_key(request, after_scheme(authorization, "Basic"), key) ||
           find_key(request, key_parameter(request), key);
}

/* ---- who calls --------------------------------------------------------------------------- */

static enum MHD_Result keep_forwarded(void *user, enum MHD_ValueKind kind, const char *name,
                                      const char *value) {
    (void)kind;
    const char **last = user;
    if (value && strcasecmp(name, "X-Forwarded-For") == 0)
        *last = value;
    return MHD_YES;
}

/* Of several lines the last: a proxy may leave the client's own as it is, and add one below. */
static void note_caller(struct request *request) {
    const char *forwarded = NULL;
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, keep_forwarded, &forwarded);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    request->caller = caller_of(info ? info->client_addr : NULL);
    if (forwarded && request->server->options->trust_forwarded_for)
        caller_forwarded(forwarded, &request->caller);
}

/* Whom the rate counts: a key, or else an address. An IPv6 client has 2^64 of them. */
static void identify(const struct request *request, const struct key *key, uint8_t client[16]) {
    static const uint8_t ipv4[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *address = request->caller.address;
    const bool is_ipv4 = memcmp(address, ipv4, sizeof ipv4) == 0;
    memset(client, 0, 16);
    memcpy(client, key ? key->digest : address, key || is_ipv4 ? 16 : 8);
}

static bool needs_key(const struct request *request) {
    const struct server *server = request->server;
    const enum access access = request->route ? request->route->access : FOR_KEYS;
    return server->keys &&
           (access == FOR_KEYS || (access == FOR_METRICS && !server->options->open_metrics));
}

static bool is_unmetered(const struct request *request) {
    return request->route &&
           (request->route->access == FOR_PROBES || request->route->access == FOR_METRICS);
}

/* Those without the key that they need are counted too: nobody tries keys faster than this. */
static void check_rate(struct request *request, const struct key *key) {
    uint8_t client[16];
    identify(request, key, client);
    const int64_t early = rates_take(request->server->rates, client, request->started_ns);
    if (early == 0)
        return;
    request->retry_after = (early + 999999999) / 1000000000;
    problem_set(&request->refusal, PROBLEM_TOO_MANY_REQUESTS,
                "more than %lld requests a second (rate_limit, with rate_burst at once) of this %s",
                request->server->options->rate_limit, key ? "key" : "address");
}

void access_check(struct request *request) {
    struct key key;
    note_caller(request);
    const bool known = request->server->keys && has_key(request, &key);
    const bool allowed = known || !needs_key(request);
    if (known)
        memcpy(request->key_label, key.label, sizeof request->key_label);
    if (request->server->rates && !(allowed && is_unmetered(request)))
        check_rate(request, known ? &key : NULL);
    if (!allowed)
        problem_set(&request->refusal, PROBLEM_UNAUTHORIZED,
                    "this needs a key that is valid here: Authorization: Bearer KEY, or X-API-Key: "
                    "KEY");
}
