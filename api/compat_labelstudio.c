#include <expat.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "api/compat_read.h"
#include "api/mask_formats.h"

static const struct json_path TASKS = {NULL, "tasks", 0};
static const struct json_path FIRST_TASK = {&TASKS, NULL, 0};
static const struct json_path DATA = {&FIRST_TASK, "data", 0};
static const struct json_path LABEL_CONFIG = {NULL, "label_config", 0};
static const struct json_path PARAMS = {NULL, "params", 0};
static const struct json_path CONTEXT = {&PARAMS, "context", 0};
static const struct json_path RESULT = {&CONTEXT, "result", 0};

void labelstudio_request_free(struct labelstudio_request *request) {
    compat_request_free(&request->common);
    for (size_t i = 0; i < request->label_count; i++)
        free(request->labels[i]);
    free(request->labels);
    free(request->from_name);
    free(request->to_name);
    *request = (struct labelstudio_request){0};
}

/* ---- the labelling configuration --------------------------------------------------------- */

enum { NAME_MAX_LENGTH = 200, IMAGES_MAX = 16 };

/* An <Image>. */
struct image_tag {
    char name[NAME_MAX_LENGTH + 1], value[NAME_MAX_LENGTH + 1];
};

/* What is looked for in the XML: the first BrushLabels of an Image, whichever comes first. */
struct config {
    XML_Parser parser;
    struct image_tag images[IMAGES_MAX];
    size_t image_count;
    char from_name[NAME_MAX_LENGTH + 1], to_name[NAME_MAX_LENGTH + 1];
    bool hostile;
};

/* Empty when it is not there, or too long. */
static void copy_attribute(const XML_Char **attributes, const char *name,
                           char out[NAME_MAX_LENGTH + 1]) {
    out[0] = '\0';
    for (size_t i = 0; attributes[i]; i += 2)
        if (strcmp(attributes[i], name) == 0 && strlen(attributes[i + 1]) <= NAME_MAX_LENGTH)
            strcpy(out, attributes[i + 1]);
}

static void on_element(void *user, const XML_Char *name, const XML_Char **attributes) {
    struct config *config = user;
    if (strcasecmp(name, "Image") == 0 && config->image_count < IMAGES_MAX) {
        struct image_tag *image = &config->images[config->image_count++];
        copy_attribute(attributes, "name", image->name);
        copy_attribute(attributes, "value", image->value);
    } else if (strcasecmp(name, "BrushLabels") == 0 && !config->from_name[0]) {
        copy_attribute(attributes, "name", config->from_name);
        copy_attribute(attributes, "toName", config->to_name);
    }
}

/* Entities of its own are what XML can be abused by, and no configuration has them. */
static void on_doctype(void *user, const XML_Char *name, const XML_Char *system,
                       const XML_Char *public, int has_subset) {
    (void)name, (void)system, (void)public, (void)has_subset;
    struct config *config = user;
    config->hostile = true;
    XML_StopParser(config->parser, XML_FALSE);
}

static bool parse_config(const char *xml, struct config *config) {
    memset(config, 0, sizeof *config);
    config->parser = XML_ParserCreate("UTF-8");
    if (!config->parser)
        return false;
    XML_SetUserData(config->parser, config);
    XML_SetStartElementHandler(config->parser, on_element);
    XML_SetStartDoctypeDeclHandler(config->parser, on_doctype);
    bool good = XML_Parse(config->parser, xml, (int)strlen(xml), XML_TRUE) == XML_STATUS_OK;
    XML_ParserFree(config->parser);
    return good && !config->hostile;
}

/* The key of the task's data that the image is under: "image" of value="$image". NULL: there was a
 * fault. */
static const char *find_key(const struct json_reader *reader, struct config *config) {
    for (size_t i = 0; i < config->image_count; i++)
        if (config->from_name[0] && strcmp(config->images[i].name, config->to_name) == 0 &&
            config->images[i].value[0] == '$')
            return config->images[i].value + 1;
    json_fault(reader, &LABEL_CONFIG, "needs a BrushLabels control for an Image with a $value");
    return NULL;
}

static const char *read_config(const struct json_reader *reader, const cJSON *value,
                               struct config *config, struct labelstudio_request *request) {
    const char *xml;
    if (!json_string(reader, &LABEL_CONFIG, value, &xml))
        return NULL;
    if (!parse_config(xml, config)) {
        json_fault(reader, &LABEL_CONFIG, "must be XML, without a DOCTYPE");
        return NULL;
    }
    const char *key = find_key(reader, config);
    request->from_name = strdup(config->from_name);
    request->to_name = strdup(config->to_name);
    if (!request->from_name || !request->to_name)
        problem_set(reader->problem, PROBLEM_INTERNAL, "out of memory");
    return key;
}

/* ---- what was clicked -------------------------------------------------------------------- */

/* The label that is chosen in the tool: the last region's. */
static void read_label(const struct json_reader *reader, const struct json_path *path,
                       const cJSON *labels, struct marks *marks) {
    const struct json_path first = {path, NULL, 0};
    if (!cJSON_IsArray(labels) || !labels->child)
        return;
    free(marks->label);
    marks->label = compat_string(reader, &first, labels->child);
}

/* Left out, it is positive: nobody begins with a negative point. */
static bool read_positive(const struct json_reader *reader, const struct json_path *path,
                          const cJSON *value) {
    bool positive = true;
    if (cJSON_IsNumber(value))
        return value->valuedouble != 0;
    if (value)
        json_boolean(reader, path, value, &positive);
    return positive;
}

/* Reads members of a region's value, which are numbers, in percent. */
static bool read_members(const struct json_reader *reader, const struct json_path *path,
                         const cJSON *value, const char *const names[], size_t count,
                         double numbers[]) {
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        const struct json_path at = {path, names[i], 0};
        good &= json_number(reader, &at, compat_member(value, names[i]), &numbers[i]);
    }
    return good;
}

static void read_keypoint(const struct json_reader *reader, const struct json_path *path,
                          const cJSON *region, const cJSON *value, struct marks *points) {
    static const char *const names[] = {"x", "y"};
    const struct json_path value_path = {path, "value", 0};
    const struct json_path positive_path = {path, "is_positive", 0};
    const struct json_path labels_path = {&value_path, "keypointlabels", 0};
    double point[2];
    const bool positive =
        read_positive(reader, &positive_path, compat_member(region, "is_positive"));
    if (read_members(reader, &value_path, value, names, 2, point))
        compat_add_point(reader, path, point, positive, points);
    read_label(reader, &labels_path, compat_member(value, "keypointlabels"), points);
}

static void read_rectangle(const struct json_reader *reader, const struct json_path *path,
                           const cJSON *value, struct compat_request *request) {
    static const char *const names[] = {"x", "y", "width", "height"};
    const struct json_path value_path = {path, "value", 0};
    const struct json_path labels_path = {&value_path, "rectanglelabels", 0};
    double box[4];
    if (!read_members(reader, &value_path, value, names, 4, box))
        return;
    struct marks *marks = compat_add_marks(request, reader->problem);
    if (!marks)
        return;
    marks->has_box = true;
    marks->box[0] = box[0];
    marks->box[1] = box[1];
    marks->box[2] = box[0] + box[2];
    marks->box[3] = box[1] + box[3];
    read_label(reader, &labels_path, compat_member(value, "rectanglelabels"), marks);
}

static void read_region(const struct json_reader *reader, const struct json_path *path,
                        const cJSON *region, struct compat_request *request, struct marks *points) {
    const cJSON *type = compat_member(region, "type"), *value = compat_member(region, "value");
    const cJSON *rotation = compat_member(region, "image_rotation");
    const struct json_path rotation_path = {path, "image_rotation", 0};
    if (rotation && !(cJSON_IsNumber(rotation) && rotation->valuedouble == 0))
        json_fault(reader, &rotation_path, "a rotated image cannot be segmented");
    if (!cJSON_IsString(type))
        return;
    if (strcmp(type->valuestring, "keypointlabels") == 0)
        read_keypoint(reader, path, region, value, points);
    else if (strcmp(type->valuestring, "rectanglelabels") == 0)
        read_rectangle(reader, path, value, request);
}

/* A mask for each rectangle, with all points in it; or one for the points. */
static void read_regions(const struct json_reader *reader, const cJSON *result,
                         struct compat_request *request) {
    struct json_path at = {.parent = &RESULT};
    struct marks points = {0};
    const cJSON *region;
    request->percent = true;
    cJSON_ArrayForEach(region, result) {
        read_region(reader, &at, region, request, &points);
        at.index++;
    }
    compat_share_points(request, &points, reader->problem);
}

/* The labels outlive the marks: they are the answer's. */
static void take_labels(const struct json_reader *reader, struct labelstudio_request *request) {
    const size_t count = request->common.count;
    request->labels = calloc(count ? count : 1, sizeof *request->labels);
    if (!request->labels) {
        problem_set(reader->problem, PROBLEM_INTERNAL, "out of memory");
        return;
    }
    request->label_count = count;
    for (size_t i = 0; i < count; i++) {
        request->labels[i] = request->common.marks[i].label;
        request->common.marks[i].label = NULL;
    }
}

/* ---- the request ------------------------------------------------------------------------- */

static void read_task(const struct json_reader *reader, cJSON *tasks, const char *key,
                      struct compat_request *request) {
    size_t count;
    const struct json_path image = {&DATA, key, 0};
    if (!json_array(reader, &TASKS, tasks, &count))
        return;
    if (count == 0)
        json_fault(reader, &TASKS, "must not be empty");
    else
        compat_read_address(reader, &image, compat_member(compat_member(tasks->child, "data"), key),
                            request);
}

static void read_request(const struct json_reader *reader, const cJSON *root,
                         struct labelstudio_request *request) {
    if (!cJSON_IsObject(root)) {
        json_fault(reader, NULL, "must be an object");
        return;
    }
    const cJSON *context = compat_member(compat_member(root, "params"), "context");
    const cJSON *result = compat_member(context, "result");
    size_t count;
    if (!result || (json_array(reader, &RESULT, result, &count) && count == 0))
        return;
    struct config config;
    const char *key = read_config(reader, compat_member(root, "label_config"), &config, request);
    read_regions(reader, result, &request->common);
    take_labels(reader, request);
    if (key && request->common.count > 0)
        read_task(reader, compat_member(root, "tasks"), key, &request->common);
}

bool labelstudio_parse(char *json, size_t size, struct labelstudio_request *request,
                       struct problem *problem) {
    /* The masks that the task has already, with a number for each byte of theirs. */
    static const char *const long_lists[] = {"annotations", "predictions", "drafts"};
    *request = (struct labelstudio_request){0};
    size = compat_drop_members(json, size, long_lists, 3);
    cJSON *root = json_parse(json, size, problem);
    if (!root)
        return false;
    const struct json_reader reader = {problem, PROBLEM_INVALID_REQUEST};
    read_request(&reader, root, request);
    cJSON_Delete(root);
    if (problem->type == PROBLEM_NONE)
        return true;
    labelstudio_request_free(request);
    return false;
}

/* ---- the answer -------------------------------------------------------------------------- */

/* Of a region: random, so that no two are the same in the tool. */
static void write_id(struct text *text) {
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number)
        text_format(text, "\"maskd-%010llx\"", (unsigned long long)(number >> 24));
    else
        text_fail(text);
}

static void write_region(struct text *text, const struct segment *segment, const char *label,
                         const struct labelstudio_request *request) {
    text_add(text, "{\"id\":");
    write_id(text);
    text_add(text, ",\"from_name\":");
    text_string(text, request->from_name);
    text_add(text, ",\"to_name\":");
    text_string(text, request->to_name);
    text_format(text,
                ",\"original_width\":%d,\"original_height\":%d,\"image_rotation\":0,"
                "\"type\":\"brushlabels\",\"readonly\":false,\"score\":",
                segment->mask.width, segment->mask.height);
    text_float(text, segment->predicted_iou);
    text_add(text, ",\"value\":{\"format\":\"rle\",\"brushlabels\":[");
    if (label)
        text_string(text, label);
    text_add(text, "],\"rle\":");
    labelstudio_rle_write(text, &segment->mask);
    text_add(text, "}}");
}

char *labelstudio_answer_json(const struct segment_answer *masks,
                              const struct labelstudio_request *request, const char *version) {
    struct text text = {0};
    float score = 0;
    text_add(&text, "{\"results\":[{\"result\":[");
    for (size_t i = 0; i < masks->prompts->count; i++) {
        const struct segment *segment = &masks->results[i].segments[0];
        text_add(&text, i > 0 ? "," : "");
        write_region(&text, segment, request->labels[i], request);
        score += segment->predicted_iou / (float)masks->prompts->count;
    }
    text_add(&text, "],\"model_version\":");
    text_string(&text, version);
    text_add(&text, ",\"score\":");
    text_float(&text, score);
    text_add(&text, "}]}");
    return text_finish(&text);
}
