#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/mask_formats.h"
#include "api/prompt.h"

/* Reads an array of exactly count finite numbers; shape says what it should have looked like. */
static bool read_numbers(struct reading *reading, const struct json_path *path, const cJSON *value,
                         int count, const char *shape, double numbers[]) {
    if (!cJSON_IsArray(value) || cJSON_GetArraySize(value) != count) {
        json_fault(&reading->json, path, "must be %s", shape);
        return false;
    }
    bool good = true;
    struct json_path at = {.parent = path};
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        good &= json_number(&reading->json, &at, element, &numbers[at.index]);
        at.index++;
    }
    return good;
}

static void fault_outside(struct reading *reading, const struct json_path *path) {
    json_fault(&reading->json, path, "outside the image (%d x %d)", reading->limits->width,
               reading->limits->height);
}

/* ---- points ------------------------------------------------------------------------------ */

static void read_point(struct reading *reading, const struct json_path *path, const cJSON *value,
                       float point[2]) {
    double numbers[2];
    if (!read_numbers(reading, path, value, 2, "[x, y]", numbers))
        return;
    for (size_t i = 0; i < 2; i++) {
        const int size = i == 0 ? reading->limits->width : reading->limits->height;
        if (numbers[i] < 0 || numbers[i] >= size)
            fault_outside(reading, &(struct json_path){path, NULL, i});
        point[i] = (float)numbers[i];
        if (point[i] >= (float)size) /* rounded up onto the edge */
            point[i] = nextafterf((float)size, 0);
    }
}

static void read_label(struct reading *reading, const struct json_path *path, const cJSON *value,
                       uint8_t *label) {
    if (cJSON_IsNumber(value) && (value->valuedouble == 0 || value->valuedouble == 1))
        *label = value->valuedouble == 1;
    else
        json_fault(&reading->json, path, "must be 1 (foreground) or 0 (background)");
}

void read_points(struct reading *reading, const struct json_path *path, const cJSON *points,
                 const cJSON *labels, struct prompt *prompt) {
    const struct json_path points_path = {path, "points", 0};
    const struct json_path labels_path = {path, "labels", 0};
    struct json_path at = {.parent = &points_path};
    size_t point_count = 0, label_count = 0;
    const cJSON *element;

    /* Elements beyond those that fit are checked like the others, but go nowhere. */
    bool has_points = points && json_array(&reading->json, &points_path, points, &point_count);
    if (has_points) {
        if (point_count < 1 || point_count > PROMPT_POINTS_MAX)
            json_fault(&reading->json, &points_path, "must hold 1 to %d points, not %zu",
                       PROMPT_POINTS_MAX, point_count);
        else
            prompt->point_count = (int)point_count;
        cJSON_ArrayForEach(element, points) {
            float ignored[2];
            read_point(reading, &at, element,
                       at.index < PROMPT_POINTS_MAX ? prompt->points[at.index] : ignored);
            at.index++;
        }
    }

    memset(prompt->labels, 1, sizeof prompt->labels);
    if (!labels)
        return;
    if (!points)
        json_fault(&reading->json, &labels_path, "labels without points");
    if (!json_array(&reading->json, &labels_path, labels, &label_count))
        return;
    if (has_points && point_count != label_count)
        json_fault(&reading->json, &labels_path, "holds %zu labels for %zu points", label_count,
                   point_count);
    at = (struct json_path){.parent = &labels_path};
    cJSON_ArrayForEach(element, labels) {
        uint8_t ignored;
        read_label(reading, &at, element,
                   at.index < PROMPT_POINTS_MAX ? &prompt->labels[at.index] : &ignored);
        at.index++;
    }
}

/* ---- boxes ------------------------------------------------------------------------------- */

void read_box(struct reading *reading, const struct json_path *path, const cJSON *value,
              struct prompt *prompt) {
    double numbers[4];
    if (!read_numbers(reading, path, value, 4, "[x1, y1, x2, y2]", numbers))
        return;
    for (size_t i = 0; i < 4; i++) {
        const int size = i % 2 == 0 ? reading->limits->width : reading->limits->height;
        if (numbers[i] < 0 || numbers[i] > size)
            fault_outside(reading, &(struct json_path){path, NULL, i});
        prompt->box[i] = (float)numbers[i];
    }
    /* Compared as the engine will see them: two doubles may round to one float. */
    if (prompt->box[0] >= prompt->box[2])
        json_fault(&reading->json, path, "x1 must be less than x2");
    if (prompt->box[1] >= prompt->box[3])
        json_fault(&reading->json, path, "y1 must be less than y2");
    prompt->has_box = true;
}

/* ---- prior masks ------------------------------------------------------------------------- */

static void read_size(struct reading *reading, const struct json_path *path, const cJSON *value) {
    const int height = reading->limits->height, width = reading->limits->width;
    double size[2];
    if (!read_numbers(reading, path, value, 2, "[height, width]", size))
        return;
    if (size[0] != height || size[1] != width)
        json_fault(&reading->json, path, "must be [%d, %d], the image's height and width", height,
                   width);
}

/* The array of an uncompressed RLE; NULL when there were faults or no memory. */
static uint32_t *read_count_array(struct reading *reading, const struct json_path *path,
                                  const cJSON *value, size_t *count) {
    *count = (size_t)cJSON_GetArraySize(value);
    uint32_t *counts = calloc(*count ? *count : 1, sizeof *counts);
    if (!counts) {
        read_out_of_memory(reading);
        return NULL;
    }
    bool good = true;
    struct json_path at = {.parent = path};
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        double number = cJSON_IsNumber(element) ? element->valuedouble : -1;
        if (number >= 0 && number <= UINT32_MAX && number == floor(number)) {
            counts[at.index] = (uint32_t)number;
        } else {
            json_fault(&reading->json, &at, "must be a whole number of pixels");
            good = false;
        }
        at.index++;
    }
    if (good)
        return counts;
    free(counts);
    return NULL;
}

static void read_counts(struct reading *reading, const struct json_path *path, const cJSON *value,
                        struct mask *mask) {
    const int height = reading->limits->height, width = reading->limits->width;
    struct error error = {""};
    enum status status = STATUS_OK;
    if (cJSON_IsString(value)) {
        status = coco_rle_decode(value->valuestring, strlen(value->valuestring), height, width,
                                 mask, &error);
    } else if (cJSON_IsArray(value)) {
        size_t count;
        uint32_t *counts = read_count_array(reading, path, value, &count);
        if (counts)
            status = mask_from_counts(counts, count, height, width, mask, &error);
    } else {
        json_fault(&reading->json, path, "must be a string or an array of numbers");
    }
    if (status == STATUS_NO_MEMORY)
        read_out_of_memory(reading);
    else if (status != STATUS_OK)
        json_fault(&reading->json, path, "%s", error.message);
}

void read_mask(struct reading *reading, const struct json_path *path, const cJSON *value,
               struct prompt_item *item) {
    enum { SIZE, COUNTS, MEMBERS };
    static const char *const names[MEMBERS] = {"size", "counts"};
    const cJSON *members[MEMBERS];
    if (!json_members(&reading->json, path, value, names, MEMBERS, members))
        return;
    for (size_t i = 0; i < MEMBERS; i++) {
        const struct json_path at = {path, names[i], 0};
        if (!members[i])
            json_fault(&reading->json, &at, "is missing");
        else if (i == SIZE)
            read_size(reading, &at, members[i]);
        else
            read_counts(reading, &at, members[i], &item->prior);
    }
    item->prompt.mask = &item->prior;
}
