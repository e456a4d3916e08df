/* everything-probe: all masks of an image, for the parity tests.
 *
 *   everything-probe MODEL IMAGE DIRECTORY WORKERS [NAME=VALUE ...]
 *
 * NAME is one of SamAutomaticMaskGenerator's parameters. Into DIRECTORY goes everything.json:
 * {"seconds": of model_everything, "masks": [{"size", "counts", "bbox", "area", "predicted_iou",
 * "stability_score", "point", "crop_box"} ...]}. */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tool.h"

struct probe {
    struct pool_job job;
    const struct model *model;
    struct image pixels, scaled;
    struct geometry geometry;
    struct everything_options options;
    struct everything found;
    double seconds;
    sem_t done;
};

static void run(struct pool_job *job, struct worker *worker) {
    struct probe *probe = (struct probe *)job;
    struct embedding *embedding = malloc(sizeof *embedding);
    struct session *session;
    struct error error = {0};
    if (!embedding || session_create(probe->model, &session, &error) != STATUS_OK)
        die("memory", "none left");
    model_encode(probe->model, session, worker, &probe->scaled, &probe->geometry, embedding);
    session_free(session);
    const int64_t start = clock_now_ns();
    if (model_everything(probe->model, worker, embedding, &probe->pixels, &probe->options, NULL,
                         &probe->found, &error) != STATUS_OK)
        die("everything", error.message);
    probe->seconds = (double)(clock_now_ns() - start) * 1e-9;
    free(embedding);
    sem_post(&probe->done);
}

/* ---- the answer -------------------------------------------------------------------------- */

static void write_mask(FILE *file, const struct everything_mask *mask) {
    const struct segment *segment = &mask->segment;
    const int *bbox = segment->bbox, *crop = mask->crop_box;
    fprintf(file, "{\"size\":[%d,%d],\"counts\":[", segment->mask.height, segment->mask.width);
    for (size_t i = 0; i < segment->mask.count; i++)
        fprintf(file, "%s%u", i ? "," : "", segment->mask.counts[i]);
    fprintf(file,
            "],\"bbox\":[%d,%d,%d,%d],\"area\":%zu,\"predicted_iou\":%.9g,\"stability_score\":%.9g,"
            "\"point\":[%.9g,%.9g],\"crop_box\":[%d,%d,%d,%d]}",
            bbox[0], bbox[1], bbox[2], bbox[3], segment->area, (double)segment->predicted_iou,
            (double)segment->stability_score, (double)mask->point[0], (double)mask->point[1],
            crop[0], crop[1], crop[2], crop[3]);
}

static void write_answer(const struct probe *probe, const char *directory) {
    char path[4096];
    snprintf(path, sizeof path, "%s/everything.json", directory);
    FILE *file = fopen(path, "w");
    if (!file)
        die(path, "cannot write");
    fprintf(file, "{\"seconds\":%.4f,\"masks\":[", probe->seconds);
    for (size_t i = 0; i < probe->found.count; i++) {
        fprintf(file, "%s", i ? ",\n" : "");
        write_mask(file, &probe->found.masks[i]);
    }
    fprintf(file, "]}\n");
    if (fclose(file) != 0)
        die(path, "cannot write");
}

/* ---- what is asked for ------------------------------------------------------------------- */

static void set_option(struct everything_options *options, const char *text) {
    const struct {
        const char *name;
        int *whole;
        float *real;
    } names[] = {
        {"points_per_side", &options->points_per_side, NULL},
        {"pred_iou_thresh", NULL, &options->pred_iou_thresh},
        {"stability_score_thresh", NULL, &options->stability_score_thresh},
        {"stability_score_offset", NULL, &options->stability_score_offset},
        {"box_nms_thresh", NULL, &options->box_nms_thresh},
        {"crop_n_layers", &options->crop_n_layers, NULL},
        {"crop_nms_thresh", NULL, &options->crop_nms_thresh},
        {"crop_n_points_downscale_factor", &options->crop_n_points_downscale_factor, NULL},
        {"min_mask_region_area", &options->min_mask_region_area, NULL},
    };
    const char *value = strchr(text, '=');
    for (size_t i = 0; value && i < sizeof names / sizeof *names; i++) {
        const size_t length = strlen(names[i].name);
        if (length != (size_t)(value - text) || strncmp(text, names[i].name, length) != 0)
            continue;
        if (names[i].whole)
            *names[i].whole = atoi(value + 1);
        else
            *names[i].real = strtof(value + 1, NULL);
        return;
    }
    die(text, "is not an option");
}

int main(int argc, char **argv) {
    static struct probe probe = {.job.run = run};
    struct error error = {0};
    struct model *model;
    struct pool *pool;
    if (argc < 5)
        die("usage", "everything-probe MODEL IMAGE DIRECTORY WORKERS [NAME=VALUE ...]");
    engine_init();
    probe.options = EVERYTHING_DEFAULTS;
    for (int i = 5; i < argc; i++)
        set_option(&probe.options, argv[i]);
    if (model_load(argv[1], PRECISION_FP32, &model, &error) != STATUS_OK)
        die(argv[1], error.message);
    probe.model = model;
    read_image(argv[2], &probe.pixels);
    scale_image(&probe.pixels, model_info(model)->input_size, &probe.scaled, &probe.geometry);
    struct pool_options options = {.workers = atoi(argv[4]),
                                   .scratch_bytes = model_tile_scratch_bytes(model),
                                   .queue_limit = {1, 1}};
    if (pool_create(&options, &pool, &error) != STATUS_OK)
        die("pool", error.message);
    if (sem_init(&probe.done, 0, 0) != 0 || !pool_submit(pool, LANE_BULK, &probe.job))
        die("pool", "does not take the job");
    while (sem_wait(&probe.done) != 0)
        ; /* interrupted */
    pool_free(pool);
    write_answer(&probe, argv[3]);
    everything_free(&probe.found);
    image_free(&probe.pixels);
    image_free(&probe.scaled);
    model_free(model);
    return 0;
}
