#include "server/conditional.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

void etag_of(char etag[ETAG_SIZE], const void *content, size_t size) {
    uint8_t digest[SHA256_DIGEST_SIZE / 2];
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, size, content);
    sha256_digest(&sha, sizeof digest, digest);
    size_t used = (size_t)snprintf(etag, ETAG_SIZE, "\"");
    for (size_t i = 0; i < sizeof digest; i++)
        used += (size_t)snprintf(etag + used, ETAG_SIZE - used, "%02x", digest[i]);
    snprintf(etag + used, ETAG_SIZE - used, "\"");
}

/* ---- lists of tags ----------------------------------------------------------------------- */

/* A tag without what makes it weak. */
static const char *opaque(const char *etag, bool *weak) {
    *weak = strncmp(etag, "W/", 2) == 0;
    return *weak ? etag + 2 : etag;
}

bool etag_listed(const char *line, const char *etag, bool strong) {
    static const char blanks[] = " \t,";
    bool weak, listed_weak;
    line += strspn(line, blanks);
    if (*line == '*')
        return etag != NULL && line[1 + strspn(line + 1, blanks)] == '\0';
    if (!etag)
        return false;
    const char *wanted = opaque(etag, &weak);
    while (*line) {
        const char *begin = opaque(line, &listed_weak);
        const char *end = *begin == '"' ? strchr(begin + 1, '"') : NULL;
        if (!end)
            return false;
        size_t length = (size_t)(end + 1 - begin);
        if (strlen(wanted) == length && memcmp(wanted, begin, length) == 0 &&
            !(strong && (weak || listed_weak)))
            return true;
        line = end + 1 + strspn(end + 1, blanks);
    }
    return false;
}

static bool listed_strongly(const char *line, const void *etag) {
    return etag_listed(line, etag, true);
}

static bool listed_weakly(const char *line, const void *etag) {
    return etag_listed(line, etag, false);
}

/* ---- conditions -------------------------------------------------------------------------- */

static bool reads_only(const struct request *request) {
    return strcmp(request->method, MHD_HTTP_METHOD_GET) == 0 ||
           strcmp(request->method, MHD_HTTP_METHOD_HEAD) == 0;
}

static void refuse(struct request *request, const char *condition, const char *etag) {
    if (etag)
        request_refuse_with(request, PROBLEM_PRECONDITION_FAILED,
                            "%s does not hold: the tag of what is there is %s", condition, etag);
    else
        request_refuse_with(request, PROBLEM_PRECONDITION_FAILED,
                            "%s does not hold: nothing is there", condition);
}

/* In the order of RFC 9110, 13.2.2. */
bool conditional_settled(struct request *request, const char *etag, const char *cache_control) {
    if (request_header(request, MHD_HTTP_HEADER_IF_MATCH) &&
        !request_header_any(request, MHD_HTTP_HEADER_IF_MATCH, listed_strongly, etag)) {
        refuse(request, MHD_HTTP_HEADER_IF_MATCH, etag);
        return true;
    }
    if (!request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH) ||
        !request_header_any(request, MHD_HTTP_HEADER_IF_NONE_MATCH, listed_weakly, etag))
        return false;
    if (reads_only(request)) {
        struct answer answer = {
            .status = MHD_HTTP_NOT_MODIFIED,
            .headers = {{MHD_HTTP_HEADER_ETAG, etag},
                        {MHD_HTTP_HEADER_CACHE_CONTROL, cache_control}},
        };
        request_answer(request, &answer);
    } else {
        refuse(request, MHD_HTTP_HEADER_IF_NONE_MATCH, etag);
    }
    return true;
}
