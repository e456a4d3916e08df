#include "server/prefer.h"

#include <string.h>
#include <strings.h>

/* The next comma that is not inside a quoted string, or the end. */
static const char *skip_preference(const char *at) {
    bool quoted = false;
    for (; *at && (quoted || *at != ','); at++) {
        if (quoted && *at == '\\' && at[1])
            at++;
        else if (*at == '"')
            quoted = !quoted;
    }
    return at;
}

bool prefer_listed(const char *line, const char *preference) {
    const size_t length = strlen(preference);
    while (*(line += strspn(line, " \t,"))) {
        size_t name = strcspn(line, " \t,;=");
        const char *after = line + name + strspn(line + name, " \t");
        if (name == length && strncasecmp(line, preference, length) == 0 && *after != '=')
            return true;
        line = skip_preference(line);
    }
    return false;
}

static bool has_preference(const char *line, const void *preference) {
    return prefer_listed(line, preference);
}

bool request_prefers_async(struct request *request) {
    return request_header_any(request, "Prefer", has_preference, PREFER_ASYNC);
}
