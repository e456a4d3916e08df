#include "server/accept.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct preference {
    double quality;  /* 0 .. 1 */
    int specificity; /* of the range that told: 1 for all types, 2 for some, 3 for this one */
};

/* How exactly a media range of this length matches the type; 0: it does not. */
static int match(const char *range, size_t length, const char *type) {
    size_t family = strcspn(type, "/") + 1;
    if (length == 3 && memcmp(range, "*/*", 3) == 0)
        return 1;
    if (length == family + 1 && range[family] == '*' && strncasecmp(range, type, family) == 0)
        return 2;
    return length == strlen(type) && strncasecmp(range, type, length) == 0 ? 3 : 0;
}

/* The q of a range's parameters; 1 when there is none. */
static double quality_of(const char *parameters, const char *end) {
    for (const char *at = parameters; at < end; at++) {
        if (*at != ';')
            continue;
        const char *name = at + 1 + strspn(at + 1, " \t");
        if (strncasecmp(name, "q=", 2) == 0) {
            double quality = strtod(name + 2, NULL);
            return quality > 0 ? (quality < 1 ? quality : 1) : 0;
        }
    }
    return 1;
}

static struct preference preference_of(const char *accept, const char *type) {
    struct preference found = {0, 0};
    while (*(accept += strspn(accept, " \t,"))) {
        const char *end = accept + strcspn(accept, ",");
        size_t length = strcspn(accept, ",; \t");
        int specificity = match(accept, length, type);
        if (specificity > found.specificity)
            found = (struct preference){quality_of(accept + length, end), specificity};
        accept = end;
    }
    return found;
}

size_t accept_choose(const char *accept, const char *const types[], size_t count) {
    struct preference best = {0, 0};
    size_t chosen = 0;
    for (size_t i = 0; accept && i < count; i++) {
        struct preference preference = preference_of(accept, types[i]);
        if (preference.quality > best.quality ||
            (preference.quality > 0 && preference.quality == best.quality &&
             preference.specificity > best.specificity)) {
            best = preference;
            chosen = i;
        }
    }
    return chosen;
}

bool accept_takes(const char *accept, const char *type) {
    return !accept || preference_of(accept, type).quality > 0;
}
