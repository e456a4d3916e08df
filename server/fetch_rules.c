#include "server/fetch_rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TOKEN_MAX = 4096 };

/* What may be asked of libcurl. */
static const unsigned PARSE_FLAGS = CURLU_ALLOW_SPACE | CURLU_URLENCODE;

struct fetch_rules {
    char **hosts; /* owned: "name" or "name:port" */
    size_t count;
    CURLU *base; /* or NULL */
    char *base_host;
    char *authorization; /* the header; or NULL */
};

void fetch_rules_free(struct fetch_rules *rules) {
    if (!rules)
        return;
    for (size_t i = 0; i < rules->count; i++)
        free(rules->hosts[i]);
    free(rules->hosts);
    curl_url_cleanup(rules->base);
    free(rules->base_host);
    free(rules->authorization);
    free(rules);
}

/* ---- hosts ------------------------------------------------------------------------------- */

/* "name:port", malloc'd; *is_default: the port is the one of its scheme. NULL: out of memory. */
static char *host_of(CURLU *address, bool *is_default) {
    char *name = NULL, *port = NULL, *odd_port = NULL, *host = NULL;
    if (curl_url_get(address, CURLUPART_HOST, &name, 0) == CURLUE_OK &&
        curl_url_get(address, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        asprintf(&host, "%s:%s", name, port) < 0)
        host = NULL;
    *is_default =
        curl_url_get(address, CURLUPART_PORT, &odd_port, CURLU_NO_DEFAULT_PORT) != CURLUE_OK;
    curl_free(name);
    curl_free(port);
    curl_free(odd_port);
    return host;
}

void fetch_rules_host(CURLU *address, char *out, size_t size) {
    bool unused;
    char *host = host_of(address, &unused);
    snprintf(out, size, "%s", host ? host : "");
    free(host);
}

static bool matches(const char *allowed, const char *host, bool is_default) {
    const size_t name = (size_t)(strrchr(host, ':') - host);
    return strcasecmp(allowed, host) == 0 ||
           (is_default && strlen(allowed) == name && strncasecmp(allowed, host, name) == 0);
}

static bool is_allowed(const struct fetch_rules *rules, const char *host, bool is_default) {
    if (rules->base_host && strcasecmp(rules->base_host, host) == 0)
        return true;
    for (size_t i = 0; i < rules->count; i++)
        if (matches(rules->hosts[i], host, is_default))
            return true;
    return false;
}

/* ---- what is configured ------------------------------------------------------------------ */

static enum status read_hosts(struct fetch_rules *rules, const char *text, struct error *error) {
    static const char separators[] = " ,\t";
    for (const char *at = text + strspn(text, separators); *at; at += strspn(at, separators)) {
        const size_t length = strcspn(at, separators);
        char *host = strndup(at, length);
        char **hosts = realloc(rules->hosts, (rules->count + 1) * sizeof *hosts);
        if (hosts)
            rules->hosts = hosts;
        if (!host || !hosts) {
            free(host);
            return error_set(error, STATUS_NO_MEMORY, "out of memory");
        }
        hosts[rules->count++] = host;
        if (strpbrk(host, "/@?#"))
            return error_set(error, STATUS_INVALID,
                             "fetch_hosts: '%.100s' is not a host, or host:port", host);
        at += length;
    }
    return STATUS_OK;
}

static bool is_web(CURLU *address) {
    char *scheme = NULL;
    bool web = curl_url_get(address, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
               (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
    curl_free(scheme);
    return web;
}

static enum status read_base(struct fetch_rules *rules, const char *base, struct error *error) {
    bool unused;
    if (!*base)
        return STATUS_OK;
    rules->base = curl_url();
    if (!rules->base)
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    if (curl_url_set(rules->base, CURLUPART_URL, base, PARSE_FLAGS) != CURLUE_OK ||
        !is_web(rules->base))
        return error_set(error, STATUS_INVALID, "fetch_base: '%.200s' is not an http(s) address",
                         base);
    rules->base_host = host_of(rules->base, &unused);
    return rules->base_host ? STATUS_OK : error_set(error, STATUS_NO_MEMORY, "out of memory");
}

static enum status read_token(struct fetch_rules *rules, const char *path, struct error *error) {
    char token[TOKEN_MAX + 1] = "";
    if (!*path)
        return STATUS_OK;
    if (!rules->base)
        return error_set(error, STATUS_INVALID,
                         "fetch_token_file: needs fetch_base, whose host gets the token");
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, STATUS_IO, "fetch_token_file: %.200s: %s", path, strerror(errno));
    const size_t size = fread(token, 1, TOKEN_MAX, file);
    fclose(file);
    const size_t length = strcspn(token, "\r\n");
    if (length == 0 || length == TOKEN_MAX || token[length + strspn(token + length, "\r\n")] ||
        memchr(token, 0, size))
        return error_set(error, STATUS_INVALID, "fetch_token_file: %.200s: not one line", path);
    token[length] = '\0';
    if (asprintf(&rules->authorization, "Authorization: Token %s", token) < 0) {
        rules->authorization = NULL;
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    }
    return STATUS_OK;
}

enum status fetch_rules_create(const char *hosts, const char *base, const char *token_file,
                               struct fetch_rules **out, struct error *error) {
    *out = NULL;
    struct fetch_rules *rules = calloc(1, sizeof *rules);
    if (!rules)
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    enum status status = read_hosts(rules, hosts, error);
    if (status == STATUS_OK)
        status = read_base(rules, base, error);
    if (status == STATUS_OK)
        status = read_token(rules, token_file, error);
    if (status == STATUS_OK)
        *out = rules;
    else
        fetch_rules_free(rules);
    return status;
}

/* ---- addresses --------------------------------------------------------------------------- */

static bool has_part(CURLU *address, CURLUPart part) {
    char *text = NULL;
    bool there = curl_url_get(address, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return there;
}

/* Of the base's scheme too: who asks for http where the base has https must not get to hear the
 * token on the way. */
static bool gets_token(const struct fetch_rules *rules, CURLU *address, const char *host) {
    char *scheme = NULL, *wanted = NULL;
    const bool same = rules->base && strcasecmp(host, rules->base_host) == 0 &&
                      curl_url_get(address, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                      curl_url_get(rules->base, CURLUPART_SCHEME, &wanted, 0) == CURLUE_OK &&
                      strcasecmp(scheme, wanted) == 0;
    curl_free(scheme);
    curl_free(wanted);
    return same;
}

static bool check(const struct fetch_rules *rules, CURLU *address, const char **authorization,
                  struct problem *problem) {
    bool is_default;
    char *host = is_web(address) ? host_of(address, &is_default) : NULL;
    if (!host)
        problem_set(problem, PROBLEM_INVALID_REQUEST, "images are fetched by http and https only");
    else if (has_part(address, CURLUPART_USER) || has_part(address, CURLUPART_PASSWORD))
        problem_set(problem, PROBLEM_INVALID_REQUEST,
                    "images are not fetched from addresses with a name and password");
    else if (!is_allowed(rules, host, is_default))
        problem_set(problem, PROBLEM_INVALID_REQUEST,
                    "images are not fetched from %.100s: it is not in fetch_hosts", host);
    else if (gets_token(rules, address, host))
        *authorization = rules->authorization;
    free(host);
    return problem->type == PROBLEM_NONE;
}

CURLU *fetch_rules_resolve(const struct fetch_rules *rules, const char *text,
                           const char **authorization, struct problem *problem) {
    *authorization = NULL;
    CURLU *address = rules->base ? curl_url_dup(rules->base) : curl_url();
    if (!address) {
        problem_set(problem, PROBLEM_INTERNAL, "out of memory");
        return NULL;
    }
    if (curl_url_set(address, CURLUPART_URL, text, PARSE_FLAGS) == CURLUE_OK) {
        if (check(rules, address, authorization, problem))
            return address;
    } else {
        problem_set(problem, PROBLEM_INVALID_REQUEST,
                    rules->base ? "the image's address cannot be read"
                                : "the image's address cannot be read; relative ones need "
                                  "fetch_base");
    }
    curl_url_cleanup(address);
    return NULL;
}
