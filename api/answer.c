#include <stdlib.h>

#include "api/answer.h"
#include "api/mask_formats.h"

void write_member(struct text *text, const char *name, const char *value) {
    text_format(text, "\"%s\":", name);
    text_string(text, value);
}

void write_timing(struct text *text, const struct timing *timing) {
    if (!timing)
        return;
    const struct {
        const char *name;
        double milliseconds;
    } spans[] = {
        {"queue", timing->queue_ms},
        {"decode", timing->decode_ms},
        {"encode", timing->encode_ms},
        {"segment", timing->segment_ms},
    };
    text_add(text, ",\"timing_ms\":{");
    const char *separator = "";
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        if (spans[i].milliseconds < 0)
            continue;
        text_format(text, "%s\"%s\":", separator, spans[i].name);
        text_fixed(text, spans[i].milliseconds, 3);
        separator = ",";
    }
    text_add(text, "}");
}

/* ---- images ------------------------------------------------------------------------------ */

void write_problem(struct text *text, const struct problem *problem) {
    char *json = problem_json(problem);
    text_add(text, ",\"problem\":");
    if (json)
        text_add(text, json);
    else
        text_fail(text);
    free(json);
}

static void write_image(struct text *text, const struct image_answer *answer) {
    static const char *const statuses[] = {
        [IMAGE_ENCODING] = "encoding", [IMAGE_READY] = "ready", [IMAGE_FAILED] = "failed"};
    text_add(text, "{");
    write_member(text, "id", answer->id);
    text_format(text, ",\"width\":%d,\"height\":%d,", answer->width, answer->height);
    write_member(text, "model", answer->model);
    text_format(text, ",\"status\":\"%s\",\"cached\":%s", statuses[answer->status],
                answer->cached ? "true" : "false");
    write_timing(text, answer->timing);
    if (answer->problem)
        write_problem(text, answer->problem);
    text_add(text, "}");
}

char *image_answer_json(const struct image_answer *answer) {
    struct text text = {0};
    write_image(&text, answer);
    return text_finish(&text);
}

char *image_list_json(const struct image_answer *images, size_t count, const char *next) {
    struct text text = {0};
    text_add(&text, "{\"images\":[");
    for (size_t i = 0; i < count; i++) {
        text_add(&text, i > 0 ? "," : "");
        write_image(&text, &images[i]);
    }
    text_add(&text, "],\"next\":");
    if (next)
        text_string(&text, next);
    else
        text_add(&text, "null");
    text_add(&text, "}");
    return text_finish(&text);
}

/* ---- masks ------------------------------------------------------------------------------- */

void write_measures(struct text *text, const struct segment *segment) {
    const int *bbox = segment->bbox;
    text_format(text, "\"bbox\":[%d,%d,%d,%d],\"area\":%zu,\"predicted_iou\":", bbox[0], bbox[1],
                bbox[2], bbox[3], segment->area);
    text_float(text, segment->predicted_iou);
    text_add(text, ",\"stability_score\":");
    text_float(text, segment->stability_score);
}

static void write_segment(struct text *text, const struct mask_id *id, size_t prompt,
                          const struct prompt_item *item, const struct segment *segment) {
    text_add(text, "{");
    write_member(text, "id", id->text);
    text_format(text, ",\"prompt\":%zu,\"segmentation\":", prompt);
    segmentation_write(text, &segment->mask, item->format, item->simplify);
    text_add(text, ",");
    write_measures(text, segment);
    text_add(text, "}");
}

char *segment_answer_json(const struct segment_answer *answer) {
    struct text text = {0};
    text_add(&text, "{");
    write_member(&text, "image_id", answer->image_id);
    text_add(&text, ",");
    write_member(&text, "model", answer->model);
    text_format(&text, ",\"width\":%d,\"height\":%d,\"masks\":[", answer->width, answer->height);
    const char *separator = "";
    for (size_t i = 0; i < answer->prompts->count; i++) {
        const struct segmentation *result = &answer->results[i];
        for (int k = 0; k < result->count; k++) {
            text_add(&text, separator);
            write_segment(&text, &answer->ids[i][k], i, &answer->prompts->items[i],
                          &result->segments[k]);
            separator = ",";
        }
    }
    text_add(&text, "]");
    write_timing(&text, answer->timing);
    text_add(&text, "}");
    return text_finish(&text);
}

/* ---- models ------------------------------------------------------------------------------ */

static void write_model(struct text *text, const struct model_answer *answer) {
    const struct model_info *info = answer->info;
    text_add(text, "{");
    write_member(text, "name", info->name);
    text_add(text, ",");
    write_member(text, "architecture", info->architecture);
    text_add(text, ",");
    write_member(text, "weights_sha256", info->weights_sha256);
    text_add(text, ",");
    write_member(text, "licence", info->licence);
    text_format(text,
                ",\"parameters\":%zu,\"input_size\":%d,\"default\":%s,"
                "\"prompts\":[\"points\",\"box\",\"mask\"]}",
                info->parameter_count, info->input_size, answer->is_default ? "true" : "false");
}

char *model_list_json(const struct model_answer *models, size_t count) {
    struct text text = {0};
    text_add(&text, "{\"models\":[");
    for (size_t i = 0; i < count; i++) {
        text_add(&text, i > 0 ? "," : "");
        write_model(&text, &models[i]);
    }
    text_add(&text, "]}");
    return text_finish(&text);
}
