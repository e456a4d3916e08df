#include "api/prompt.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "api/mask_formats.h"

/* The members of a request: what is prompted, how it is answered, and lists of prompts. */
enum {
    POINTS,
    LABELS,
    BOX,
    MASK,
    TEXT,
    REFINE,
    CONTENT_MEMBERS,
    MULTIMASK = CONTENT_MEMBERS,
    FORMAT,
    THRESHOLD,
    MIN_AREA,
    FILL_HOLES,
    SIMPLIFY,
    PROMPT_MEMBERS,
    PROMPTS = PROMPT_MEMBERS,
    BOXES,
    REQUEST_MEMBERS,
};

static const char *const prompt_names[REQUEST_MEMBERS] = {
    [POINTS] = "points",
    [LABELS] = "labels",
    [BOX] = "box",
    [MASK] = "mask",
    [TEXT] = "text",
    [REFINE] = "refine",
    [MULTIMASK] = "multimask",
    [FORMAT] = "format",
    [THRESHOLD] = "threshold",
    [MIN_AREA] = "min_area",
    [FILL_HOLES] = "fill_holes",
    [SIMPLIFY] = "simplify",
    [PROMPTS] = "prompts",
    [BOXES] = "boxes",
};

static const double threshold_max = 1e6, simplify_max = 1e5;

void read_out_of_memory(struct reading *reading) {
    problem_set(reading->json.problem, PROBLEM_INTERNAL, "out of memory");
}

/* ---- members that this version does not have --------------------------------------------- */

static void __attribute__((format(printf, 4, 5)))
fault_missing(struct reading *reading, const struct json_path *path, enum problem_type type,
              const char *format, ...) {
    char detail[sizeof reading->missing.faults[0].detail];
    va_list arguments;
    va_start(arguments, format);
    utf8_format(detail, sizeof detail, format, arguments);
    va_end(arguments);
    problem_set(&reading->missing, type, "%s", detail);
    json_fault(&(struct json_reader){&reading->missing, type}, path, "%s", detail);
}

static void read_text(struct reading *reading, const struct json_path *path, const cJSON *value) {
    const char *text;
    if (json_string(&reading->json, path, value, &text))
        fault_missing(reading, path, PROBLEM_NOT_INSTALLED,
                      "text prompts need a CLIP model, which is not installed");
}

/* ---- how it is answered ------------------------------------------------------------------ */

static void read_format(struct reading *reading, const struct json_path *path, const cJSON *value,
                        enum mask_format *format) {
    const char *name;
    if (!json_string(&reading->json, path, value, &name))
        return;
    const enum mask_format found = mask_format_find(name);
    if (found == FORMAT_COUNT)
        json_fault(&reading->json, path,
                   "must be \"coco_rle\", \"coco_rle_uncompressed\", \"polygon\", "
                   "\"polygon_holes\", \"png\", \"labelstudio_rle\" or \"cvat_rle\"");
    else
        *format = found;
}

static void read_multimask(struct reading *reading, const struct json_path *path,
                           const cJSON *value, enum multimask *multimask) {
    if (cJSON_IsString(value) && strcmp(value->valuestring, "auto") == 0)
        *multimask = MULTIMASK_AUTO;
    else if (cJSON_IsBool(value))
        *multimask = cJSON_IsTrue(value) ? MULTIMASK_ALL : MULTIMASK_SINGLE;
    else
        json_fault(&reading->json, path, "must be \"auto\", true or false");
}

static void read_threshold(struct reading *reading, const struct json_path *path,
                           const cJSON *value, float *threshold) {
    double number;
    if (!json_number(&reading->json, path, value, &number))
        return;
    if (fabs(number) > threshold_max)
        json_fault(&reading->json, path, "must be between -%.0f and %.0f", threshold_max,
                   threshold_max);
    else
        *threshold = (float)number;
}

static void read_min_area(struct reading *reading, const struct json_path *path, const cJSON *value,
                          size_t *min_area) {
    double number;
    if (!json_number(&reading->json, path, value, &number))
        return;
    if (number < 0 || number > UINT32_MAX || number != floor(number))
        json_fault(&reading->json, path, "must be a whole number of pixels");
    else
        *min_area = (size_t)number;
}

static void read_simplify(struct reading *reading, const struct json_path *path, const cJSON *value,
                          double *simplify) {
    double number;
    if (!json_number(&reading->json, path, value, &number))
        return;
    if (number < 0 || number > simplify_max)
        json_fault(&reading->json, path, "must be between 0 and %.0f pixels", simplify_max);
    else
        *simplify = number;
}

static void read_settings(struct reading *reading, const struct json_path *path,
                          const cJSON *const members[], struct prompt_item *item) {
    for (int i = CONTENT_MEMBERS; i < PROMPT_MEMBERS; i++) {
        const struct json_path at = {path, prompt_names[i], 0};
        if (!members[i])
            continue;
        switch (i) {
        case MULTIMASK:
            read_multimask(reading, &at, members[i], &item->prompt.multimask);
            break;
        case FORMAT:
            read_format(reading, &at, members[i], &item->format);
            break;
        case THRESHOLD:
            read_threshold(reading, &at, members[i], &item->prompt.threshold);
            break;
        case MIN_AREA:
            read_min_area(reading, &at, members[i], &item->cleaning.min_area);
            break;
        case FILL_HOLES:
            json_boolean(&reading->json, &at, members[i], &item->cleaning.fill_holes);
            break;
        case SIMPLIFY:
            read_simplify(reading, &at, members[i], &item->simplify);
            break;
        }
    }
}

/* ---- earlier masks ----------------------------------------------------------------------- */

static bool mask_id_valid(const char *id) {
    struct mask_id any;
    return strlen(id) == sizeof any.text - 1 && strncmp(id, "m_", 2) == 0 &&
           strspn(id + 2, "0123456789abcdef") == sizeof any.text - 3;
}

static void read_refine(struct reading *reading, const struct json_path *path, const cJSON *value,
                        struct mask_id *refine) {
    const char *id;
    if (!json_string(&reading->json, path, value, &id))
        return;
    if (mask_id_valid(id))
        strcpy(refine->text, id);
    else
        json_fault(&reading->json, path, "must be a mask's ID, " MASK_ID_PATTERN);
}

/* ---- requests ---------------------------------------------------------------------------- */

/* One prompt, from members that are already looked up. The item has its final address. */
static void read_prompt(struct reading *reading, const struct json_path *path,
                        const cJSON *const members[], struct prompt_item *item) {
    if (!members[POINTS] && !members[BOX] && !members[MASK] && !members[TEXT] && !members[REFINE])
        json_fault(&reading->json, path, "must have at least one of points, box, mask and refine");
    if (members[MASK] && members[REFINE])
        json_fault(&reading->json, &(struct json_path){path, "refine", 0},
                   "cannot be combined with mask");
    if (members[POINTS] || members[LABELS])
        read_points(reading, path, members[POINTS], members[LABELS], &item->prompt);
    if (members[BOX])
        read_box(reading, &(struct json_path){path, "box", 0}, members[BOX], &item->prompt);
    if (members[MASK])
        read_mask(reading, &(struct json_path){path, "mask", 0}, members[MASK], item);
    if (members[TEXT])
        read_text(reading, &(struct json_path){path, "text", 0}, members[TEXT]);
    if (members[REFINE])
        read_refine(reading, &(struct json_path){path, "refine", 0}, members[REFINE],
                    &item->refine);
    read_settings(reading, path, members, item);
}

static bool list_allocate(struct reading *reading, struct prompt_list *list, size_t count,
                          const struct prompt_item *defaults) {
    list->items = calloc(count, sizeof *list->items);
    if (!list->items) {
        read_out_of_memory(reading);
        return false;
    }
    list->count = count;
    for (size_t i = 0; i < count; i++)
        list->items[i] = *defaults;
    return true;
}

static void read_elements(struct reading *reading, const struct json_path *path, int member,
                          const cJSON *value, struct prompt_list *list) {
    struct json_path at = {.parent = path};
    const cJSON *element;
    cJSON_ArrayForEach(element, value) {
        struct prompt_item *item = &list->items[at.index];
        const cJSON *members[PROMPT_MEMBERS];
        if (member == BOXES)
            read_box(reading, &at, element, &item->prompt);
        else if (json_members(&reading->json, &at, element, prompt_names, PROMPT_MEMBERS, members))
            read_prompt(reading, &at, members, item);
        at.index++;
    }
}

/* "prompts", an array of objects, or "boxes", an array of boxes. */
static void read_list(struct reading *reading, int member, const cJSON *value,
                      const struct prompt_item *defaults, struct prompt_list *list) {
    const struct json_path path = {NULL, prompt_names[member], 0};
    const size_t most = reading->limits->max_prompts;
    size_t count;
    if (!json_array(&reading->json, &path, value, &count))
        return;
    if (count == 0)
        json_fault(&reading->json, &path, "must not be empty");
    else if (count > most)
        json_fault(&reading->json, &path, "holds %zu prompts; the limit is %zu (max_prompts)",
                   count, most);
    else if (list_allocate(reading, list, count, defaults))
        read_elements(reading, &path, member, value, list);
}

static void read_request(struct reading *reading, const cJSON *root, struct prompt_list *list) {
    struct prompt_item defaults = {.format = FORMAT_COCO_RLE};
    const cJSON *members[REQUEST_MEMBERS];
    if (!json_members(&reading->json, NULL, root, prompt_names, REQUEST_MEMBERS, members))
        return;
    int member = members[PROMPTS] ? PROMPTS : BOXES;
    if (!members[member]) {
        if (list_allocate(reading, list, 1, &defaults))
            read_prompt(reading, NULL, members, &list->items[0]);
        return;
    }
    for (int i = 0; i < REQUEST_MEMBERS; i++) {
        if (members[i] && i != member && (i < CONTENT_MEMBERS || i == BOXES))
            json_fault(&reading->json, &(struct json_path){NULL, prompt_names[i], 0},
                       "cannot be combined with %s", prompt_names[member]);
    }
    read_settings(reading, NULL, members, &defaults);
    list->numbered = true;
    read_list(reading, member, members[member], &defaults, list);
}

bool prompt_list_parse(const char *json, size_t size, const struct prompt_limits *limits,
                       struct prompt_list *list, struct problem *problem) {
    *list = (struct prompt_list){0};
    cJSON *root = json_parse(json, size, problem);
    if (!root)
        return false;
    struct reading reading = {.json = {problem, PROBLEM_INVALID_PROMPT}, .limits = limits};
    read_request(&reading, root, list);
    cJSON_Delete(root);
    if (problem->type == PROBLEM_NONE)
        *problem = reading.missing;
    if (problem->type == PROBLEM_NONE)
        return true;
    prompt_list_free(list);
    return false;
}

void prompt_list_free(struct prompt_list *list) {
    for (size_t i = 0; i < list->count; i++)
        mask_free(&list->items[i].prior);
    free(list->items);
    *list = (struct prompt_list){0};
}
