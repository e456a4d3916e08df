#include <stdlib.h>

#include "api/base64.h"
#include "api/compat_read.h"
#include "api/text.h"

/* ---- requests ---------------------------------------------------------------------------- */

static void read_points(const struct json_reader *reader, const char *name, const cJSON *points,
                        bool foreground, struct marks *marks) {
    const struct json_path path = {NULL, name, 0};
    struct json_path at = {.parent = &path};
    size_t count;
    const cJSON *element;
    if (!points || !json_array(reader, &path, points, &count))
        return;
    cJSON_ArrayForEach(element, points) {
        double point[2];
        if (compat_numbers(reader, &at, element, 2, point))
            compat_add_point(reader, &at, point, foreground, marks);
        at.index++;
    }
}

/* Two corners; CVAT sends an empty array, or null, when no box was drawn. */
static void read_box(const struct json_reader *reader, const cJSON *corners, struct marks *marks) {
    const struct json_path path = {NULL, "obj_bbox", 0};
    if (!corners || (cJSON_IsArray(corners) && !corners->child))
        return;
    if (!cJSON_IsArray(corners) || cJSON_GetArraySize(corners) != 2) {
        json_fault(reader, &path, "must be two corners, [[x, y], [x, y]]");
        return;
    }
    const struct json_path first = {&path, NULL, 0}, second = {&path, NULL, 1};
    bool good = compat_numbers(reader, &first, corners->child, 2, marks->box);
    good &= compat_numbers(reader, &second, corners->child->next, 2, marks->box + 2);
    marks->has_box = good;
}

static void read_flag(const struct json_reader *reader, const cJSON *root, const char *name,
                      bool *flag) {
    const struct json_path path = {NULL, name, 0};
    const cJSON *value = compat_member(root, name);
    if (value)
        json_boolean(reader, &path, value, flag);
}

static void read_request(const struct json_reader *reader, const cJSON *root,
                         struct cvat_request *request) {
    const struct json_path image = {NULL, "image", 0};
    if (!cJSON_IsObject(root)) {
        json_fault(reader, NULL, "must be an object");
        return;
    }
    compat_read_image(reader, &image, compat_member(root, "image"), &request->common);
    read_flag(reader, root, "embedding", &request->embedding);
    read_flag(reader, root, "crop", &request->crop);
    struct marks *marks = compat_add_marks(&request->common, reader->problem);
    if (!marks)
        return;
    read_points(reader, "pos_points", compat_member(root, "pos_points"), true, marks);
    read_points(reader, "neg_points", compat_member(root, "neg_points"), false, marks);
    read_box(reader, compat_member(root, "obj_bbox"), marks);
    if (reader->problem->type == PROBLEM_NONE && !request->embedding && marks->point_count == 0 &&
        !marks->has_box)
        json_fault(reader, NULL, "needs pos_points, neg_points or obj_bbox");
}

bool cvat_parse(const char *json, size_t size, struct cvat_request *request,
                struct problem *problem) {
    request->common = (struct compat_request){0};
    cJSON *root = json_parse(json, size, problem);
    if (!root)
        return false;
    const struct json_reader reader = {problem, PROBLEM_INVALID_PROMPT};
    read_request(&reader, root, request);
    cJSON_Delete(root);
    if (problem->type == PROBLEM_NONE)
        return true;
    compat_request_free(&request->common);
    return false;
}

/* ---- answers ----------------------------------------------------------------------------- */

enum { CHUNK = 128 };

/* So many times the value, with commas between, and before the first one too unless it begins the
 * row. */
static void write_run(struct text *text, bool set, size_t count, bool begins) {
    char cells[2 * CHUNK];
    for (size_t i = 0; i < CHUNK && i < count; i++) {
        cells[2 * i] = ',';
        cells[2 * i + 1] = set ? '1' : '0';
    }
    while (count > 0) {
        const size_t some = count < CHUNK ? count : CHUNK;
        text_append(text, cells + begins, 2 * some - begins);
        begins = false;
        count -= some;
    }
}

/* rows is the transposed mask: its columns are the rows of the image. */
static void write_rows(struct text *text, const struct mask *rows, const int box[4]) {
    size_t run = 0, run_end = rows->counts[0];
    text_reserve(text, ((size_t)box[2] * 2 + 2) * (size_t)box[3] + 2);
    text_add(text, "[");
    for (int y = box[1]; y < box[1] + box[3]; y++) {
        const size_t left = (size_t)y * (size_t)rows->height + (size_t)box[0];
        const size_t right = left + (size_t)box[2];
        text_add(text, y > box[1] ? ",[" : "[");
        for (size_t at = left; at < right;) {
            while (run_end <= at)
                run_end += rows->counts[++run];
            const size_t end = run_end < right ? run_end : right;
            write_run(text, run % 2 == 1, end - at, at == left);
            at = end;
        }
        text_add(text, "]");
    }
    text_add(text, "]");
}

char *cvat_answer_json(const struct segment_answer *masks, bool crop) {
    const struct segment *segment = &masks->results[0].segments[0];
    const int whole[4] = {0, 0, masks->width, masks->height}, nothing[4] = {0, 0, 1, 1};
    const int *box = !crop ? whole : segment->area > 0 ? segment->bbox : nothing;
    struct text text = {0};
    struct mask rows;
    if (mask_transpose(&segment->mask, SIZE_MAX, &rows, NULL) != STATUS_OK)
        return NULL;
    text_add(&text, "{\"mask\":");
    write_rows(&text, &rows, box);
    if (crop)
        text_format(&text, ",\"bounds\":[%d,%d,%d,%d]", box[0], box[1], box[0] + box[2] - 1,
                    box[1] + box[3] - 1);
    text_add(&text, "}");
    mask_free(&rows);
    return text_finish(&text);
}

char *cvat_embedding_json(const struct embedding *embedding) {
    const size_t size = EMBEDDING_VALUES * sizeof(float);
    struct text text = {0};
    float *values = malloc(size);
    if (!values)
        return NULL;
    embedding_write(embedding, EMBEDDING_FLOAT32, values);
    text_add(&text, "{\"blob\":\"");
    base64_write(&text, (const uint8_t *)values, size);
    text_add(&text, "\"}");
    free(values);
    return text_finish(&text);
}
