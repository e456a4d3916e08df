#include "api/compat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/compat_read.h"
#include "api/upload.h"

void compat_request_free(struct compat_request *request) {
    for (size_t i = 0; i < request->count; i++)
        free(request->marks[i].label);
    free(request->marks);
    free(request->image);
    free(request->url);
    *request = (struct compat_request){0};
}

/* ---- reading ----------------------------------------------------------------------------- */

cJSON *compat_member(const cJSON *object, const char *name) {
    cJSON *member = cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
    return cJSON_IsNull(member) ? NULL : member;
}

char *compat_string(const struct json_reader *reader, const struct json_path *path,
                    const cJSON *value) {
    const char *string;
    if (!json_string(reader, path, value, &string))
        return NULL;
    char *copy = strdup(string);
    if (!copy)
        problem_set(reader->problem, PROBLEM_INTERNAL, "out of memory");
    return copy;
}

bool compat_numbers(const struct json_reader *reader, const struct json_path *path,
                    const cJSON *value, size_t count, double numbers[]) {
    if (!cJSON_IsArray(value) || (size_t)cJSON_GetArraySize(value) != count) {
        json_fault(reader, path, "must be an array of %zu numbers", count);
        return false;
    }
    bool good = true;
    struct json_path at = {.parent = path};
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        good &= json_number(reader, &at, element, &numbers[at.index]);
        at.index++;
    }
    return good;
}

void compat_read_image(const struct json_reader *reader, const struct json_path *path, cJSON *value,
                       struct compat_request *request) {
    upload_take_image(reader, path, value, &request->image, &request->image_size);
}

void compat_read_address(const struct json_reader *reader, const struct json_path *path,
                         cJSON *value, struct compat_request *request) {
    if (cJSON_IsString(value) && strncasecmp(value->valuestring, "data:", 5) != 0)
        request->url = compat_string(reader, path, value);
    else
        compat_read_image(reader, path, value, request);
}

struct marks *compat_add_marks(struct compat_request *request, struct problem *problem) {
    if (request->count == COMPAT_MARKS_MAX) {
        problem_set(problem, PROBLEM_INVALID_PROMPT, "more than %d objects are marked",
                    COMPAT_MARKS_MAX);
        return NULL;
    }
    struct marks *marks = realloc(request->marks, (request->count + 1) * sizeof *request->marks);
    if (!marks) {
        problem_set(problem, PROBLEM_INTERNAL, "out of memory");
        return NULL;
    }
    request->marks = marks;
    marks += request->count++;
    memset(marks, 0, sizeof *marks);
    return marks;
}

void compat_add_point(const struct json_reader *reader, const struct json_path *path,
                      const double point[2], bool foreground, struct marks *marks) {
    if (marks->point_count == PROMPT_POINTS_MAX) {
        json_fault(reader, path, "more than %d points", PROMPT_POINTS_MAX);
        return;
    }
    marks->points[marks->point_count][0] = point[0];
    marks->points[marks->point_count][1] = point[1];
    marks->labels[marks->point_count++] = foreground;
}

void compat_share_points(struct compat_request *request, struct marks *points,
                         struct problem *problem) {
    for (size_t i = 0; i < request->count; i++) {
        struct marks *marks = &request->marks[i];
        marks->point_count = points->point_count;
        memcpy(marks->points, points->points, sizeof points->points);
        memcpy(marks->labels, points->labels, sizeof points->labels);
    }
    struct marks *marks = NULL;
    if (request->count == 0 && points->point_count > 0)
        marks = compat_add_marks(request, problem);
    if (marks)
        *marks = *points;
    else
        free(points->label);
    points->label = NULL;
}

/* ---- dropping members -------------------------------------------------------------------- */

/* Where the string that begins at `at` ends, after its quote, or the text. */
static size_t skip_string(const char *json, size_t size, size_t at) {
    for (at++; at < size && json[at] != '"'; at++)
        if (json[at] == '\\')
            at++;
    return at < size ? at + 1 : size;
}

static size_t skip_space(const char *json, size_t size, size_t at) {
    while (at < size &&
           (json[at] == ' ' || json[at] == '\t' || json[at] == '\n' || json[at] == '\r'))
        at++;
    return at;
}

/* Where the array or object that begins at `at` ends, after its bracket, or the text. */
static size_t skip_nested(const char *json, size_t size, size_t at) {
    size_t depth = 0;
    while (at < size) {
        const char c = json[at];
        if (c == '"') {
            at = skip_string(json, size, at);
            continue;
        }
        depth += c == '[' || c == '{';
        depth -= c == ']' || c == '}';
        at++;
        if (depth == 0)
            break;
    }
    return at;
}

static bool is_named(const char *string, size_t size, const char *const names[], size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == size && memcmp(names[i], string, size) == 0)
            return true;
    return false;
}

size_t compat_drop_members(char *json, size_t size, const char *const names[], size_t count) {
    size_t from = 0, to = 0;
    while (from < size) {
        if (json[from] != '"') {
            json[to++] = json[from++];
            continue;
        }
        const size_t end = skip_string(json, size, from);
        const bool named =
            end - from >= 2 && is_named(json + from + 1, end - from - 2, names, count);
        memmove(json + to, json + from, end - from);
        to += end - from;
        from = end;
        const size_t colon = skip_space(json, size, end);
        if (!named || colon == size || json[colon] != ':')
            continue;
        const size_t value = skip_space(json, size, colon + 1);
        if (value == size || (json[value] != '[' && json[value] != '{'))
            continue;
        from = skip_nested(json, size, value);
        if (from - end < 3) { /* the text ends within it */
            from = end;
            continue;
        }
        memcpy(json + to, ":[]", 3);
        to += 3;
    }
    return to;
}

/* ---- placing ----------------------------------------------------------------------------- */

static double clamp(double value, double most) {
    return value < 0 ? 0 : value > most ? most : value;
}

static void place_points(const struct marks *marks, const double scale[2], const int size[2],
                         struct prompt *prompt) {
    prompt->point_count = marks->point_count;
    memcpy(prompt->labels, marks->labels, sizeof prompt->labels);
    for (int i = 0; i < marks->point_count; i++) {
        for (int k = 0; k < 2; k++) {
            const float last = nextafterf((float)size[k], 0);
            const float value = (float)clamp(marks->points[i][k] * scale[k], size[k]);
            prompt->points[i][k] = value > last ? last : value;
        }
    }
}

/* False: the box has no area inside the image. */
static bool place_box(const struct marks *marks, const double scale[2], const int size[2],
                      struct prompt *prompt) {
    prompt->has_box = true;
    for (int k = 0; k < 2; k++) {
        const double a = marks->box[k] * scale[k], b = marks->box[k + 2] * scale[k];
        prompt->box[k] = (float)clamp(a < b ? a : b, size[k]);
        prompt->box[k + 2] = (float)clamp(a < b ? b : a, size[k]);
    }
    return prompt->box[0] < prompt->box[2] && prompt->box[1] < prompt->box[3];
}

bool compat_prompts(const struct compat_request *request, const struct prompt_limits *limits,
                    struct prompt_list *prompts, struct problem *problem) {
    const int size[2] = {limits->width, limits->height};
    double scale[2] = {1, 1};
    *prompts = (struct prompt_list){0};
    if (request->count > limits->max_prompts) {
        problem_set(problem, PROBLEM_INVALID_PROMPT,
                    "%zu objects are marked; the limit is %zu (max_prompts)", request->count,
                    limits->max_prompts);
        return false;
    }
    prompts->items = calloc(request->count, sizeof *prompts->items);
    if (!prompts->items) {
        problem_set(problem, PROBLEM_INTERNAL, "out of memory");
        return false;
    }
    prompts->count = request->count;
    for (int k = 0; request->percent && k < 2; k++)
        scale[k] = size[k] / 100.0;
    for (size_t i = 0; i < request->count; i++) {
        struct prompt *prompt = &prompts->items[i].prompt;
        place_points(&request->marks[i], scale, size, prompt);
        if (request->marks[i].has_box && !place_box(&request->marks[i], scale, size, prompt))
            problem_set(problem, PROBLEM_INVALID_PROMPT,
                        "a box has no area inside the image (%d x %d)", size[0], size[1]);
    }
    if (problem->type == PROBLEM_NONE)
        return true;
    prompt_list_free(prompts);
    return false;
}
