#include "engine/weights/import/names.h"

#include <string.h>

bool name_is_anonymous(const char *value) {
    return strncmp(value, "onnx::", 6) == 0;
}

/* "seq" is repeated by "seq.0", not by "sequence" and not by "seq". */
static bool repeated(const char *part, size_t length, const char *next) {
    return strncmp(part, next, length) == 0 && next[length] == '.';
}

bool name_of_scope(const char *node, char *module, size_t size) {
    size_t used = 0;
    if (node[0] != '/' || size == 0) {
        return false;
    }
    const char *part = node + 1;
    for (const char *slash; (slash = strchr(part, '/')); part = slash + 1) {
        size_t length = (size_t)(slash - part);
        if (length == 0) {
            return false;
        }
        if (repeated(part, length, slash + 1)) {
            continue;
        }
        if (length + 2 > size - used) { /* a point before and the zero behind */
            return false;
        }
        if (used > 0) {
            module[used++] = '.';
        }
        memcpy(module + used, part, length);
        used += length;
    }
    module[used] = '\0';
    return *part != '\0'; /* the operator */
}
