#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/compat_read.h"
#include "api/text.h"

static const struct json_path IMAGE = {NULL, "image", 0};
static const struct json_path MODEL = {NULL, "model", 0};
static const struct json_path PARAMS = {NULL, "params", 0};
static const struct json_path MARKS = {&PARAMS, "marks", 0};
static const struct json_path FINENESS = {&PARAMS, "epsilon_factor", 0};

static const double DEFAULT_FINENESS = 0.001, MAX_FINENESS = 1;

/* ---- requests ---------------------------------------------------------------------------- */

/* Left out, it is foreground. */
static bool read_label(const struct json_reader *reader, const struct json_path *path,
                       const cJSON *value) {
    const struct json_path at = {path, "label", 0};
    if (!value)
        return true;
    if (cJSON_IsNumber(value) && (value->valuedouble == 0 || value->valuedouble == 1))
        return value->valuedouble == 1;
    json_fault(reader, &at, "must be 1 (foreground) or 0 (background)");
    return false;
}

static void read_mark(const struct json_reader *reader, const struct json_path *path,
                      const cJSON *mark, struct compat_request *request, struct marks *points) {
    const struct json_path data_path = {path, "data", 0}, type_path = {path, "type", 0};
    const cJSON *type = compat_member(mark, "type"), *data = compat_member(mark, "data");
    const bool foreground = read_label(reader, path, compat_member(mark, "label"));
    double numbers[4];
    if (cJSON_IsString(type) && strcmp(type->valuestring, "point") == 0) {
        if (compat_numbers(reader, &data_path, data, 2, numbers))
            compat_add_point(reader, path, numbers, foreground, points);
    } else if (cJSON_IsString(type) && strcmp(type->valuestring, "rectangle") == 0) {
        if (!compat_numbers(reader, &data_path, data, 4, numbers))
            return;
        if (!foreground) {
            json_fault(reader, path, "a rectangle cannot be background");
            return;
        }
        struct marks *marks = compat_add_marks(request, reader->problem);
        if (!marks)
            return;
        memcpy(marks->box, numbers, sizeof marks->box);
        marks->has_box = true;
    } else {
        json_fault(reader, &type_path, "must be \"point\" or \"rectangle\"");
    }
}

static void read_marks(const struct json_reader *reader, const cJSON *list,
                       struct compat_request *request) {
    struct json_path at = {.parent = &MARKS};
    struct marks points = {0};
    size_t count;
    const cJSON *mark;
    if (!list || !json_array(reader, &MARKS, list, &count))
        return;
    cJSON_ArrayForEach(mark, list) {
        read_mark(reader, &at, mark, request, &points);
        at.index++;
    }
    compat_share_points(request, &points, reader->problem);
}

static void read_fineness(const struct json_reader *reader, const cJSON *value, double *fineness) {
    *fineness = DEFAULT_FINENESS;
    if (!value || !json_number(reader, &FINENESS, value, fineness))
        return;
    if (*fineness < 0 || *fineness > MAX_FINENESS)
        json_fault(reader, &FINENESS, "must be between 0 and %.0f", MAX_FINENESS);
}

static void read_model(const struct json_reader *reader, const cJSON *value, const char *model) {
    const char *name;
    if (json_string(reader, &MODEL, value, &name) && strcmp(name, model) != 0)
        problem_set(reader->problem, PROBLEM_NOT_INSTALLED,
                    "the model \"%.60s\" is not installed; \"%s\" is", name, model);
}

static void read_request(const struct json_reader *reader, const cJSON *root, const char *model,
                         struct xanylabeling_request *request) {
    if (!cJSON_IsObject(root)) {
        json_fault(reader, NULL, "must be an object");
        return;
    }
    const cJSON *params = compat_member(root, "params");
    if (params && !cJSON_IsObject(params))
        json_fault(reader, &PARAMS, "must be an object");
    compat_read_image(reader, &IMAGE, compat_member(root, "image"), &request->common);
    read_marks(reader, compat_member(params, "marks"), &request->common);
    read_fineness(reader, compat_member(params, "epsilon_factor"), &request->fineness);
    read_model(reader, compat_member(root, "model"), model);
    if (reader->problem->type == PROBLEM_NONE && request->common.count == 0 &&
        compat_member(params, "text_prompt"))
        problem_set(reader->problem, PROBLEM_NOT_INSTALLED,
                    "text prompts need a CLIP model, which is not installed");
}

bool xanylabeling_parse(const char *json, size_t size, const char *model,
                        struct xanylabeling_request *request, struct problem *problem) {
    *request = (struct xanylabeling_request){0};
    cJSON *root = json_parse(json, size, problem);
    if (!root)
        return false;
    const struct json_reader reader = {problem, PROBLEM_INVALID_REQUEST};
    read_request(&reader, root, model, request);
    cJSON_Delete(root);
    if (problem->type == PROBLEM_NONE)
        return true;
    compat_request_free(&request->common);
    return false;
}

/* ---- answers ----------------------------------------------------------------------------- */

static double ring_area(const struct outline *outline, const struct ring *ring) {
    double twice = 0;
    for (size_t i = 0; i < ring->count; i++) {
        const int32_t *a = outline->points[ring->first + i];
        const int32_t *b = outline->points[ring->first + (i + 1) % ring->count];
        twice += (double)a[0] * b[1] - (double)b[0] * a[1];
    }
    return twice / 2;
}

static double ring_length(const struct outline *outline, const struct ring *ring) {
    double length = 0;
    for (size_t i = 0; i < ring->count; i++) {
        const int32_t *a = outline->points[ring->first + i];
        const int32_t *b = outline->points[ring->first + (i + 1) % ring->count];
        length += hypot(b[0] - a[0], b[1] - a[1]);
    }
    return length;
}

/* The longest outer ring's, which the fineness is a part of; and the mean area of outer rings. */
static void measure(const struct outline *outline, double *length, double *area) {
    size_t outer = 0;
    *length = *area = 0;
    for (size_t i = 0; i < outline->ring_count; i++) {
        const struct ring *ring = &outline->rings[i];
        if (ring->hole)
            continue;
        *length = fmax(*length, ring_length(outline, ring));
        *area += ring_area(outline, ring);
        outer++;
    }
    *area /= outer ? (double)outer : 1;
}

/* Closed: the first point again as the last. */
static void write_shape(struct text *text, const struct outline *outline, const struct ring *ring,
                        float score) {
    text_add(text, "{\"label\":\"AUTOLABEL_OBJECT\",\"shape_type\":\"polygon\",\"points\":[");
    for (size_t i = 0; i <= ring->count; i++) {
        const int32_t *point = outline->points[ring->first + i % ring->count];
        text_format(text, "%s[%d,%d]", i > 0 ? "," : "", point[0], point[1]);
    }
    text_add(text, "],\"score\":");
    text_float(text, score < 0 ? 0 : score > 1 ? 1 : score); /* as its schema wants it */
    text_add(text, "}");
}

/* Specks are left out, as the original does: parts smaller than this of the mean area. */
static const double SPECK = 0.2;

static void write_shapes(struct text *text, const struct segment *segment, double fineness,
                         const char **separator) {
    struct outline outline;
    double length, area;
    if (mask_outline(&segment->mask, &outline, NULL) != STATUS_OK) {
        text_fail(text);
        return;
    }
    measure(&outline, &length, &area);
    if (outline_simplify(&outline, fineness * length, NULL) != STATUS_OK)
        text_fail(text);
    for (size_t i = 0; i < outline.ring_count; i++) {
        const struct ring *ring = &outline.rings[i];
        if (ring->hole || ring_area(&outline, ring) < SPECK * area)
            continue;
        text_add(text, *separator);
        write_shape(text, &outline, ring, segment->predicted_iou);
        *separator = ",";
    }
    outline_free(&outline);
}

static const char SUCCESS[] = "{\"success\":true,\"data\":";

char *xanylabeling_answer_json(const struct segment_answer *masks, double fineness) {
    struct text text = {0};
    const char *separator = "";
    text_add(&text, SUCCESS);
    text_add(&text, "{\"shapes\":[");
    for (size_t i = 0; masks && i < masks->prompts->count; i++)
        write_shapes(&text, &masks->results[i].segments[0], fineness, &separator);
    text_add(&text, "],\"description\":\"\",\"replace\":false}}");
    return text_finish(&text);
}

/* What the tool shows for the model: buttons for points and boxes, and a slider for the fineness,
 * in thousandths. */
static void write_model(struct text *text, const struct model_info *model) {
    static const char *const buttons[] = {"button_add_point", "button_remove_point",
                                          "button_add_rect", "button_clear",
                                          "button_finish_object"};
    text_add(text, "\"display_name\":");
    text_string(text, model->name);
    text_add(text, ",\"widgets\":[");
    for (size_t i = 0; i < sizeof buttons / sizeof *buttons; i++)
        text_format(text, "{\"name\":\"%s\",\"value\":null},", buttons[i]);
    text_add(text, "{\"name\":\"mask_fineness_slider\",\"value\":10},"
                   "{\"name\":\"mask_fineness_value_label\",\"value\":null}],"
                   "\"params\":{\"epsilon_factor\":0.001},\"capabilities\":{},"
                   "\"batch_processing_mode\":\"default\"");
}

char *xanylabeling_models_json(const struct model_info *model) {
    struct text text = {0};
    text_add(&text, SUCCESS);
    text_add(&text, "{");
    text_string(&text, model->name);
    text_add(&text, ":{");
    write_model(&text, model);
    text_add(&text, "}}}");
    return text_finish(&text);
}

char *xanylabeling_model_json(const struct model_info *model) {
    struct text text = {0};
    text_add(&text, SUCCESS);
    text_add(&text, "{\"model_id\":");
    text_string(&text, model->name);
    text_add(&text, ",");
    write_model(&text, model);
    text_add(&text, "}}");
    return text_finish(&text);
}

/* The code that the original has for it, or one of that kind. */
static const char *code_of(const struct problem *problem) {
    switch (problem->type) {
    case PROBLEM_NOT_INSTALLED:
        return "MODEL_NOT_FOUND";
    case PROBLEM_UNSUPPORTED_IMAGE:
    case PROBLEM_INVALID_IMAGE:
        return "INVALID_IMAGE";
    case PROBLEM_UNAUTHORIZED:
        return "UNAUTHORIZED";
    case PROBLEM_OVERLOADED:
    case PROBLEM_DEADLINE:
    case PROBLEM_DRAINING:
    case PROBLEM_INTERNAL:
        return "INFERENCE_ERROR";
    default:
        return "INVALID_REQUEST";
    }
}

char *xanylabeling_problem_json(const struct problem *problem) {
    struct text text = {0};
    text_format(&text,
                "{\"success\":false,\"error\":{\"code\":\"%s\",\"message\":", code_of(problem));
    if (problem->detail[0] || problem->fault_count == 0) {
        text_string(&text, problem->detail);
    } else {
        char message[sizeof problem->faults[0].pointer + sizeof problem->faults[0].detail + 2];
        snprintf(message, sizeof message, "%s %s", problem->faults[0].pointer,
                 problem->faults[0].detail);
        text_string(&text, message);
    }
    text_add(&text, "}}");
    return text_finish(&text);
}
