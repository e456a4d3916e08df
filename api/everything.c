/* Everything mode: its parameters, and what is told of a run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "api/json.h"
#include "api/mask_formats.h"

/* ---- requests ---------------------------------------------------------------------------- */

enum {
    POINTS_PER_SIDE,
    PRED_IOU_THRESH,
    STABILITY_SCORE_THRESH,
    STABILITY_SCORE_OFFSET,
    BOX_NMS_THRESH,
    CROP_N_LAYERS,
    CROP_NMS_THRESH,
    CROP_OVERLAP_RATIO,
    CROP_N_POINTS_DOWNSCALE_FACTOR,
    MIN_MASK_REGION_AREA,
    OPTION_MEMBERS,
    FORMAT = OPTION_MEMBERS,
    SIMPLIFY,
    MEMBERS,
};

static const char *const names[MEMBERS] = {
    [POINTS_PER_SIDE] = "points_per_side",
    [PRED_IOU_THRESH] = "pred_iou_thresh",
    [STABILITY_SCORE_THRESH] = "stability_score_thresh",
    [STABILITY_SCORE_OFFSET] = "stability_score_offset",
    [BOX_NMS_THRESH] = "box_nms_thresh",
    [CROP_N_LAYERS] = "crop_n_layers",
    [CROP_NMS_THRESH] = "crop_nms_thresh",
    [CROP_OVERLAP_RATIO] = "crop_overlap_ratio",
    [CROP_N_POINTS_DOWNSCALE_FACTOR] = "crop_n_points_downscale_factor",
    [MIN_MASK_REGION_AREA] = "min_mask_region_area",
    [FORMAT] = "format",
    [SIMPLIFY] = "simplify",
};

/* In the order of the names; the engine's limits (everything_check). */
static const struct {
    double least, most;
    bool whole;
} ranges[OPTION_MEMBERS] = {
    {1, EVERYTHING_SIDE_MAX, true},
    {0, 1, false},
    {0, 1, false},
    {0, 1000, false},
    {0, 1, false},
    {0, EVERYTHING_LAYERS_MAX, true},
    {0, 1, false},
    {0, 1, false},
    {1, EVERYTHING_SIDE_MAX, true},
    {0, 1e9, true},
};

static void get_values(const struct everything_options *options, double values[OPTION_MEMBERS]) {
    const double in_order[OPTION_MEMBERS] = {
        options->points_per_side,
        (double)options->pred_iou_thresh,
        (double)options->stability_score_thresh,
        (double)options->stability_score_offset,
        (double)options->box_nms_thresh,
        options->crop_n_layers,
        (double)options->crop_nms_thresh,
        options->crop_overlap_ratio,
        options->crop_n_points_downscale_factor,
        options->min_mask_region_area,
    };
    memcpy(values, in_order, sizeof in_order);
}

static void set_values(const double values[OPTION_MEMBERS], struct everything_options *options) {
    *options = (struct everything_options){
        .points_per_side = (int)values[POINTS_PER_SIDE],
        .pred_iou_thresh = (float)values[PRED_IOU_THRESH],
        .stability_score_thresh = (float)values[STABILITY_SCORE_THRESH],
        .stability_score_offset = (float)values[STABILITY_SCORE_OFFSET],
        .box_nms_thresh = (float)values[BOX_NMS_THRESH],
        .crop_n_layers = (int)values[CROP_N_LAYERS],
        .crop_nms_thresh = (float)values[CROP_NMS_THRESH],
        .crop_overlap_ratio = values[CROP_OVERLAP_RATIO],
        .crop_n_points_downscale_factor = (int)values[CROP_N_POINTS_DOWNSCALE_FACTOR],
        .min_mask_region_area = (int)values[MIN_MASK_REGION_AREA],
    };
}

static void read_option(const struct json_reader *reader, int member, const cJSON *value,
                        double values[OPTION_MEMBERS]) {
    const struct json_path path = {NULL, names[member], 0};
    const double least = ranges[member].least, most = ranges[member].most;
    double number;
    if (!json_number(reader, &path, value, &number))
        return;
    if (ranges[member].whole && (number < least || number > most || number != floor(number)))
        json_fault(reader, &path, "must be a whole number from %.0f to %.0f", least, most);
    else if (number < least || number > most)
        json_fault(reader, &path, "must be from %g to %g", least, most);
    else
        values[member] = number;
}

static void read_form(const struct json_reader *reader, const cJSON *const members[MEMBERS],
                      struct everything_request *request) {
    const struct json_path format = {NULL, names[FORMAT], 0}, simplify = {NULL, names[SIMPLIFY], 0};
    const char *name;
    if (members[FORMAT] && json_string(reader, &format, members[FORMAT], &name)) {
        request->format = mask_format_find(name);
        if (request->format == FORMAT_COUNT)
            json_fault(reader, &format, "not the name of a format");
    }
    if (members[SIMPLIFY] &&
        json_number(reader, &simplify, members[SIMPLIFY], &request->simplify) &&
        request->simplify < 0)
        json_fault(reader, &simplify, "must not be negative");
}

static void read_request(const struct json_reader *reader, const cJSON *root,
                         struct everything_request *request) {
    const cJSON *members[MEMBERS];
    double values[OPTION_MEMBERS];
    struct error error = {0};
    if (!json_members(reader, NULL, root, names, MEMBERS, members))
        return;
    get_values(&EVERYTHING_DEFAULTS, values);
    for (int i = 0; i < OPTION_MEMBERS; i++)
        if (members[i])
            read_option(reader, i, members[i], values);
    read_form(reader, members, request);
    set_values(values, &request->options);
    if (reader->problem->type == PROBLEM_NONE &&
        everything_check(&request->options, true, &error) != STATUS_OK)
        json_fault(reader, NULL, "%s", error.message);
}

bool everything_request_parse(const char *json, size_t size, struct everything_request *request,
                              struct problem *problem) {
    const struct json_reader reader = {problem, PROBLEM_INVALID_REQUEST};
    *request = (struct everything_request){.options = EVERYTHING_DEFAULTS};
    if (size == 0)
        return true;
    cJSON *root = json_parse(json, size, problem);
    if (root)
        read_request(&reader, root, request);
    cJSON_Delete(root);
    return problem->type == PROBLEM_NONE;
}

bool everything_query_parse(const char *format, const char *simplify,
                            struct everything_request *request, struct problem *problem) {
    *request = (struct everything_request){.options = EVERYTHING_DEFAULTS};
    if (format)
        request->format = mask_format_find(format);
    if (request->format == FORMAT_COUNT)
        problem_add(problem, PROBLEM_INVALID_REQUEST, "?format", "not the name of a format");
    char *end = "";
    if (simplify)
        request->simplify = strtod(simplify, &end);
    if (simplify &&
        (end == simplify || *end || !isfinite(request->simplify) || request->simplify < 0))
        problem_add(problem, PROBLEM_INVALID_REQUEST, "?simplify",
                    "must be a number that is not negative");
    return problem->type == PROBLEM_NONE;
}

/* ---- answers ----------------------------------------------------------------------------- */

static void write_parameters(struct text *text, const struct everything_options *options) {
    double values[OPTION_MEMBERS];
    get_values(options, values);
    for (int i = 0; i < OPTION_MEMBERS; i++) {
        text_format(text, "%s\"%s\":", i ? "," : ",\"parameters\":{", names[i]);
        text_float(text, (float)values[i]);
    }
    text_add(text, "}");
}

static void write_mask(struct text *text, const struct everything_answer *answer,
                       const struct everything_mask *mask) {
    const int *box = mask->crop_box;
    text_add(text, "{\"segmentation\":");
    segmentation_write(text, &mask->segment.mask, answer->format, answer->simplify);
    text_add(text, ",");
    write_measures(text, &mask->segment);
    text_add(text, ",\"point_coords\":[[");
    text_fixed(text, (double)mask->point[0], 3);
    text_add(text, ",");
    text_fixed(text, (double)mask->point[1], 3);
    text_format(text, "]],\"crop_box\":[%d,%d,%d,%d]}", box[0], box[1], box[2], box[3]);
}

static void write_outcome(struct text *text, const struct everything_answer *answer) {
    if (answer->masks) {
        text_format(text, ",\"status\":\"ready\",\"cached\":%s,\"masks\":[",
                    answer->cached ? "true" : "false");
        for (size_t i = 0; i < answer->masks->count; i++) {
            text_add(text, i ? "," : "");
            if (answer->yield)
                answer->yield->call(answer->yield->argument);
            write_mask(text, answer, &answer->masks->masks[i]);
        }
        text_add(text, "]");
        write_timing(text, answer->timing);
    } else if (answer->problem) {
        text_add(text, ",\"status\":\"failed\"");
        write_problem(text, answer->problem);
    } else {
        text_format(text, ",\"status\":\"running\",\"done\":%zu,\"total\":%zu", answer->done,
                    answer->total);
    }
}

char *everything_answer_json(const struct everything_answer *answer) {
    struct text text = {0};
    text_add(&text, "{");
    write_member(&text, "image_id", answer->image_id);
    text_add(&text, ",");
    write_member(&text, "model", answer->model);
    text_format(&text, ",\"width\":%d,\"height\":%d", answer->width, answer->height);
    write_parameters(&text, answer->options);
    write_outcome(&text, answer);
    text_add(&text, "}");
    return text_finish(&text);
}
