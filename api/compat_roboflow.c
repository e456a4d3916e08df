#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/compat_read.h"
#include "api/text.h"

static const struct json_path IMAGE = {NULL, "image", 0};
static const struct json_path IMAGE_ID = {NULL, "image_id", 0};
static const struct json_path POINTS = {NULL, "point_coords", 0};
static const struct json_path LABELS = {NULL, "point_labels", 0};

/* ---- requests ---------------------------------------------------------------------------- */

/* {"type": "base64" or "url", "value": ...}. */
static void read_image(const struct json_reader *reader, const cJSON *image,
                       struct compat_request *request) {
    const struct json_path type_path = {&IMAGE, "type", 0}, value_path = {&IMAGE, "value", 0};
    const cJSON *type = compat_member(image, "type");
    cJSON *value = compat_member(image, "value");
    if (!cJSON_IsObject(image))
        json_fault(reader, &IMAGE, "must be an object with type and value");
    else if (cJSON_IsString(type) && strcmp(type->valuestring, "base64") == 0)
        compat_read_image(reader, &value_path, value, request);
    else if (cJSON_IsString(type) && strcmp(type->valuestring, "url") == 0)
        request->url = compat_string(reader, &value_path, value);
    else
        json_fault(reader, &type_path, "must be \"base64\" or \"url\"");
}

static void read_image_id(const struct json_reader *reader, const cJSON *value,
                          struct compat_request *request) {
    const char *id;
    if (!json_string(reader, &IMAGE_ID, value, &id))
        return;
    if (image_id_valid(id))
        strcpy(request->image_id, id);
    else
        json_fault(reader, &IMAGE_ID, "must match " IMAGE_ID_PATTERN);
}

/* 1 is foreground; the original's documentation calls -1 background, its model takes 0 for it. */
static bool read_label(const struct json_reader *reader, size_t index, const cJSON *value,
                       double *label) {
    const struct json_path at = {&LABELS, NULL, index};
    if (!json_number(reader, &at, value, label))
        return false;
    if (*label == 1 || *label == 0 || *label == -1)
        return true;
    json_fault(reader, &at, "must be 1 (foreground), 0 or -1 (background)");
    return false;
}

/* The original's defaults, [0, 0] and -1, are SAM's padding and mean no point. */
static bool is_padding(const double point[2], double label) {
    return point[0] == 0 && point[1] == 0 && label == -1;
}

static void read_points(const struct json_reader *reader, const cJSON *points, const cJSON *labels,
                        struct compat_request *request) {
    struct marks *marks = compat_add_marks(request, reader->problem);
    size_t point_count = 0, label_count = 0;
    if (points && !json_array(reader, &POINTS, points, &point_count))
        return;
    if (labels && !json_array(reader, &LABELS, labels, &label_count))
        return;
    if (point_count != label_count) {
        json_fault(reader, &LABELS, "holds %zu labels for %zu points", label_count, point_count);
        return;
    }
    const cJSON *label_value = labels ? labels->child : NULL, *element;
    struct json_path at = {.parent = &POINTS};
    cJSON_ArrayForEach(element, points) {
        double point[2], label;
        bool good = compat_numbers(reader, &at, element, 2, point);
        good &= read_label(reader, at.index, label_value, &label);
        if (good && marks && !is_padding(point, label))
            compat_add_point(reader, &at, point, label == 1, marks);
        label_value = label_value->next;
        at.index++;
    }
    if (reader->problem->type == PROBLEM_NONE && marks && marks->point_count == 0)
        json_fault(reader, &POINTS, "needs a point");
}

static void read_format(const struct json_reader *reader, const cJSON *value, bool *binary) {
    const struct json_path path = {NULL, "format", 0};
    const char *name = "json";
    if (value && !json_string(reader, &path, value, &name))
        return;
    *binary = strcmp(name, "binary") == 0;
    if (!*binary && strcmp(name, "json") != 0)
        json_fault(reader, &path, "must be \"json\" or \"binary\"");
}

/* What the original can, and this cannot. */
static void refuse_missing(const cJSON *root, const struct roboflow_request *request,
                           struct problem *problem) {
    if (compat_member(root, "embeddings"))
        problem_set(problem, PROBLEM_NOT_IMPLEMENTED,
                    "embeddings are not taken; send the image, or its image_id");
    if (cJSON_IsTrue(compat_member(root, "has_mask_input")))
        problem_set(problem, PROBLEM_NOT_IMPLEMENTED,
                    "mask_input is not taken; /v1/images/{id}/segment takes a prior mask");
    if (request->binary)
        problem_set(problem, PROBLEM_NOT_IMPLEMENTED, "masks come as json only");
}

static void read_request(const struct json_reader *reader, const cJSON *root, bool with_points,
                         struct roboflow_request *request) {
    if (!cJSON_IsObject(root)) {
        json_fault(reader, NULL, "must be an object");
        return;
    }
    const cJSON *image = compat_member(root, "image"), *id = compat_member(root, "image_id");
    if (image)
        read_image(reader, image, &request->common);
    if (id)
        read_image_id(reader, id, &request->common);
    if (!image && !id)
        json_fault(reader, &IMAGE, "is missing");
    read_format(reader, compat_member(root, "format"), &request->binary);
    if (!with_points)
        return;
    read_points(reader, compat_member(root, "point_coords"), compat_member(root, "point_labels"),
                &request->common);
    if (reader->problem->type == PROBLEM_NONE)
        refuse_missing(root, request, reader->problem);
}

bool roboflow_parse(const char *json, size_t size, bool with_points,
                    struct roboflow_request *request, struct problem *problem) {
    *request = (struct roboflow_request){0};
    cJSON *root = json_parse(json, size, problem);
    if (!root)
        return false;
    const struct json_reader reader = {problem, PROBLEM_INVALID_REQUEST};
    read_request(&reader, root, with_points, request);
    cJSON_Delete(root);
    if (problem->type == PROBLEM_NONE)
        return true;
    compat_request_free(&request->common);
    return false;
}

/* ---- the answer -------------------------------------------------------------------------- */

/* With every coordinate times the scale; points that fall together are one. Writes nothing when
 * fewer than three are left. */
static bool write_ring(struct text *text, const struct outline *outline, const struct ring *ring,
                       double scale, const char *separator) {
    const struct text before = *text;
    long last[2] = {-1, -1};
    size_t written = 0;
    text_add(text, separator);
    text_add(text, "[");
    for (size_t i = 0; i < ring->count; i++) {
        const int32_t *point = outline->points[ring->first + i];
        const long x = lround(point[0] * scale), y = lround(point[1] * scale);
        if (x == last[0] && y == last[1])
            continue;
        text_format(text, "%s[%ld,%ld]", written++ ? "," : "", x, y);
        last[0] = x;
        last[1] = y;
    }
    text_add(text, "]");
    if (written < 3 && !text->failed)
        text->size = before.size;
    return written >= 3;
}

/* A list of polygons, one for each part of the mask. */
static void write_polygons(struct text *text, const struct outline *outline, double scale) {
    const char *separator = "";
    text_add(text, "[");
    for (size_t i = 0; i < outline->ring_count; i++)
        if (!outline->rings[i].hole &&
            write_ring(text, outline, &outline->rings[i], scale, separator))
            separator = ",";
    text_add(text, "]");
}

/* low_res_masks are in the square of the decoder's masks, whose side the image's longer one is. */
char *roboflow_answer_json(const struct segment_answer *masks, double seconds) {
    const struct segment *segment = &masks->results[0].segments[0];
    const int longer = masks->width > masks->height ? masks->width : masks->height;
    struct text text = {0};
    struct outline outline;
    if (mask_outline(&segment->mask, &outline, NULL) != STATUS_OK)
        return NULL;
    text_add(&text, "{\"masks\":");
    write_polygons(&text, &outline, 1);
    text_add(&text, ",\"low_res_masks\":");
    write_polygons(&text, &outline, (double)LOW_RES_SIDE / longer);
    outline_free(&outline);
    text_add(&text, ",\"time\":");
    text_fixed(&text, seconds, 6);
    text_add(&text, "}");
    return text_finish(&text);
}

/* One number of six digits a value: more than the two bytes hold that it is kept in. */
char *roboflow_embedding_json(const struct embedding *embedding, double seconds,
                              const struct image_yield *yield) {
    enum { SIDE = EMBEDDING_SIDE, NUMBER_SIZE = 12 };
    struct text text = {0};
    float *values = malloc(EMBEDDING_VALUES * sizeof *values);
    if (!values)
        return NULL;
    embedding_write(embedding, EMBEDDING_FLOAT32, values);
    text_reserve(&text, (size_t)EMBEDDING_VALUES * NUMBER_SIZE);
    text_add(&text, "{\"embeddings\":[[");
    for (size_t i = 0; i < EMBEDDING_VALUES; i++) {
        const bool plane = i % (SIDE * SIDE) == 0, row = i % SIDE == 0;
        if (plane)
            yield->call(yield->argument);
        text_add(&text, i == 0 ? "[[" : plane ? "]],[[" : row ? "],[" : ",");
        text_float(&text, values[i]);
    }
    free(values);
    text_add(&text, "]]]],\"time\":");
    text_fixed(&text, seconds, 6);
    text_add(&text, "}");
    return text_finish(&text);
}
