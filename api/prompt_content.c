#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
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

/* An array of whole numbers, most being the largest; NULL when there were faults or no memory. */
static uint32_t *read_whole_numbers(struct reading *reading, const struct json_path *path,
                                    const cJSON *value, uint32_t most, size_t *count) {
    if (!json_array(&reading->json, path, value, count))
        return NULL;
    uint32_t *numbers = calloc(*count ? *count : 1, sizeof *numbers);
    if (!numbers) {
        read_out_of_memory(reading);
        return NULL;
    }
    bool good = true;
    struct json_path at = {.parent = path};
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        double number = cJSON_IsNumber(element) ? element->valuedouble : -1;
        if (number >= 0 && number <= most && number == floor(number)) {
            numbers[at.index] = (uint32_t)number;
        } else {
            json_fault(&reading->json, &at, "must be a whole number, %u at most", most);
            good = false;
        }
        at.index++;
    }
    if (good)
        return numbers;
    free(numbers);
    return NULL;
}

static enum status read_counts(struct reading *reading, const struct json_path *path,
                               const cJSON *value, struct mask *mask, struct error *error) {
    const int height = reading->limits->height, width = reading->limits->width;
    if (cJSON_IsString(value))
        return coco_rle_decode(value->valuestring, strlen(value->valuestring), height, width, mask,
                               error);
    if (!cJSON_IsArray(value)) {
        json_fault(&reading->json, path, "must be a string or an array of numbers");
        return STATUS_OK;
    }
    size_t count;
    uint32_t *counts = read_whole_numbers(reading, path, value, UINT32_MAX, &count);
    return counts ? mask_from_counts(counts, count, height, width, mask, error) : STATUS_OK;
}

static enum status read_labelstudio(struct reading *reading, const struct json_path *path,
                                    const cJSON *value, struct mask *mask, struct error *error) {
    size_t count;
    uint32_t *numbers = read_whole_numbers(reading, path, value, UINT8_MAX, &count);
    if (!numbers)
        return STATUS_OK;
    uint8_t *bytes = (uint8_t *)numbers; /* in place: a byte is not behind its number */
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)numbers[i];
    enum status status = labelstudio_rle_decode(bytes, count, reading->limits->height,
                                                reading->limits->width, mask, error);
    free(numbers);
    return status;
}

static enum status read_cvat(struct reading *reading, const struct json_path *path,
                             const cJSON *value, struct mask *mask, struct error *error) {
    size_t count;
    uint32_t *numbers = read_whole_numbers(reading, path, value, UINT32_MAX, &count);
    if (!numbers)
        return STATUS_OK;
    enum status status = cvat_rle_decode(numbers, count, reading->limits->height,
                                         reading->limits->width, mask, error);
    free(numbers);
    return status;
}

/* However small they are, they take time: those of one request together about as much as an image.
 */
static const uint64_t png_pixels_max = UINT64_C(1) << 26;

static enum status read_png(struct reading *reading, const struct json_path *path,
                            const cJSON *value, struct mask *mask, struct error *error) {
    const char *string;
    if (!json_string(&reading->json, path, value, &string))
        return STATUS_OK;
    const bool is_first = reading->png_pixels == 0;
    reading->png_pixels += (uint64_t)reading->limits->height * (uint64_t)reading->limits->width;
    if (!is_first && reading->png_pixels > png_pixels_max)
        return error_set(error, STATUS_TOO_LARGE,
                         "the request's PNG masks have more than %llu pixels",
                         (unsigned long long)png_pixels_max);
    const char *text = base64_text(value->valuestring);
    size_t size = text ? strlen(text) : 0;
    uint8_t *bytes = malloc(size + 1);
    enum status status = STATUS_NO_MEMORY;
    if (bytes && text && base64_decode(text, bytes, &size))
        status = mask_png_decode(bytes, size, reading->limits->height, reading->limits->width, mask,
                                 error);
    else if (bytes)
        status = error_set(error, STATUS_INVALID, "must be base64 or a data URI of a PNG");
    free(bytes);
    return status;
}

enum { SIZE, COUNTS, LABELSTUDIO_RLE, CVAT_RLE, PNG, MASK_MEMBERS };

static const char *const mask_names[MASK_MEMBERS] = {"size", "counts", "labelstudio_rle",
                                                     "cvat_rle", "png"};

/* Decodes one of the members. What JSON has wrong is told at once; what it means, by the status. */
static void read_mask_member(struct reading *reading, const struct json_path *path, int member,
                             const cJSON *value, struct mask *mask) {
    static enum status (*const readers[MASK_MEMBERS])(
        struct reading *, const struct json_path *, const cJSON *, struct mask *,
        struct error *) = {NULL, read_counts, read_labelstudio, read_cvat, read_png};
    struct error error = {""};
    enum status status = readers[member](reading, path, value, mask, &error);
    if (status == STATUS_OK && mask->count > MASK_RUNS_MAX - reading->prior_runs) {
        mask_free(mask);
        status = error_set(&error, STATUS_TOO_LARGE, "the request's masks have more than %d runs",
                           MASK_RUNS_MAX);
    }
    reading->prior_runs += mask->count;
    if (status == STATUS_NO_MEMORY)
        read_out_of_memory(reading);
    else if (status != STATUS_OK)
        json_fault(&reading->json, path, "%s", error.message);
}

void read_mask(struct reading *reading, const struct json_path *path, const cJSON *value,
               struct prompt_item *item) {
    const cJSON *members[MASK_MEMBERS];
    if (!json_members(&reading->json, path, value, mask_names, MASK_MEMBERS, members))
        return;
    const struct json_path size_path = {path, mask_names[SIZE], 0};
    if (members[SIZE])
        read_size(reading, &size_path, members[SIZE]);
    else if (!members[PNG]) /* which tells its size itself */
        json_fault(&reading->json, &size_path, "is missing");
    int form = SIZE;
    for (int i = COUNTS; i < MASK_MEMBERS; i++) {
        const struct json_path at = {path, mask_names[i], 0};
        if (members[i] && form != SIZE)
            json_fault(&reading->json, &at, "cannot be combined with %s", mask_names[form]);
        else if (members[i])
            read_mask_member(reading, &at, form = i, members[i], &item->prior);
    }
    if (form == SIZE)
        json_fault(&reading->json, path,
                   "must have one of counts, labelstudio_rle, cvat_rle and png");
    item->prompt.mask = &item->prior;
}
