#include "api/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/text.h"

cJSON *json_parse(const char *json, size_t size, struct problem *problem) {
    if (!json_check(json, size, problem))
        return NULL;
    cJSON *root = cJSON_ParseWithLength(json, size);
    if (!root) /* the text is good, so this is the only reason left */
        problem_set(problem, PROBLEM_INTERNAL, "out of memory");
    return root;
}

/* ---- faults and their places ------------------------------------------------------------- */

/* Long enough that problem_add sees, and marks, that a pointer does not fit. */
struct pointer {
    char text[sizeof((struct problem_fault *)0)->pointer + 32];
    size_t size;
};

static void pointer_add(struct pointer *pointer, const char *string) {
    size_t room = sizeof pointer->text - 1 - pointer->size;
    size_t size = strnlen(string, room);
    memcpy(pointer->text + pointer->size, string, size);
    pointer->size += size;
    pointer->text[pointer->size] = '\0';
}

static void pointer_write(struct pointer *pointer, const struct json_path *path) {
    if (!path)
        return;
    pointer_write(pointer, path->parent);
    pointer_add(pointer, "/");
    if (!path->member) {
        char digits[24];
        snprintf(digits, sizeof digits, "%zu", path->index);
        pointer_add(pointer, digits);
        return;
    }
    for (const char *at = path->member; *at && pointer->size < sizeof pointer->text - 1; at++)
        pointer_add(pointer, *at == '~' ? "~0" : *at == '/' ? "~1" : (char[]){*at, '\0'});
}

void json_fault(const struct json_reader *reader, const struct json_path *path, const char *format,
                ...) {
    if (reader->problem->fault_count >= PROBLEM_FAULTS_MAX) {
        reader->problem->fault_count++; /* only counted */
        return;
    }
    struct pointer pointer = {.size = 0};
    pointer_write(&pointer, path);
    char detail[sizeof reader->problem->faults[0].detail];
    va_list arguments;
    va_start(arguments, format);
    utf8_format(detail, sizeof detail, format, arguments);
    va_end(arguments);
    problem_add(reader->problem, reader->type, pointer.text, "%s", detail);
}

/* ---- values ------------------------------------------------------------------------------ */

bool json_members(const struct json_reader *reader, const struct json_path *path,
                  const cJSON *object, const char *const names[], size_t count,
                  const cJSON *values[]) {
    for (size_t i = 0; i < count; i++)
        values[i] = NULL;
    if (!cJSON_IsObject(object)) {
        json_fault(reader, path, "must be an object");
        return false;
    }
    const cJSON *member;
    cJSON_ArrayForEach(member, object) {
        size_t i = 0;
        while (i < count && strcmp(member->string, names[i]) != 0)
            i++;
        const struct json_path at = {path, member->string, 0};
        if (i == count)
            json_fault(reader, &at, "unknown member");
        else if (values[i])
            json_fault(reader, &at, "duplicate member");
        else
            values[i] = member;
    }
    return true;
}

bool json_number(const struct json_reader *reader, const struct json_path *path, const cJSON *value,
                 double *number) {
    if (!cJSON_IsNumber(value) || !isfinite(value->valuedouble)) {
        json_fault(reader, path, "must be a finite number");
        return false;
    }
    *number = value->valuedouble;
    return true;
}

bool json_boolean(const struct json_reader *reader, const struct json_path *path,
                  const cJSON *value, bool *boolean) {
    if (!cJSON_IsBool(value)) {
        json_fault(reader, path, "must be true or false");
        return false;
    }
    *boolean = cJSON_IsTrue(value);
    return true;
}

bool json_string(const struct json_reader *reader, const struct json_path *path, const cJSON *value,
                 const char **string) {
    if (!cJSON_IsString(value)) {
        json_fault(reader, path, "must be a string");
        return false;
    }
    *string = value->valuestring;
    return true;
}

bool json_array(const struct json_reader *reader, const struct json_path *path, const cJSON *value,
                size_t *count) {
    if (!cJSON_IsArray(value)) {
        json_fault(reader, path, "must be an array");
        return false;
    }
    *count = 0;
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        ++*count;
    }
    return true;
}
