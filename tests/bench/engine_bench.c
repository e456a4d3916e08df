/* engine-bench: one encode, one prompt or all masks at a time, on command, for bench.py.
 *
 *   engine-bench MODEL IMAGE WORKERS [bf16]
 *
 * Reads lines from standard input, "encode", "first", "prompt" or "all", runs that once in process,
 * and answers with a line: the milliseconds that it took, then for each stage a tab and its
 * milliseconds, its multiply-adds and its name. An encode is what follows decoding and resampling;
 * a prompt is one point, from the embedding to run lengths at the image's size; "first": without
 * what the daemon prepares once some prompts have come for an image; "all": model_everything with
 * its defaults, 1024 points, from the embedding to run lengths, without stages. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "tests/tool.h"

struct bench {
    struct pool_job job;
    const struct model *model;
    struct session *session;
    struct profile profile;
    struct image scaled;
    struct geometry geometry;
    struct embedding *embedding;
    struct prepared *prepared;
    enum task { ENCODE, FIRST, PROMPT, ALL } task; /* what the job does */
    double milliseconds;
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    bool done;
};

static double since(int64_t start) {
    return (double)(clock_now_ns() - start) * 1e-6;
}

static double encode(struct bench *bench, struct worker *worker) {
    const int64_t start = clock_now_ns();
    model_encode(bench->model, bench->session, worker, &bench->scaled, &bench->geometry,
                 bench->embedding);
    const double milliseconds = since(start);
    prepared_free(bench->prepared);
    bench->prepared = model_prepare(bench->model, worker, bench->embedding);
    return milliseconds;
}

static double prompt(struct bench *bench, struct worker *worker) {
    const struct prepared *prepared = bench->task == PROMPT ? bench->prepared : NULL;
    struct prompt centre = {.point_count = 1, .labels = {1}};
    struct segmentation segmentation;
    struct error error = {0};
    centre.points[0][0] = (float)bench->geometry.width / 2;
    centre.points[0][1] = (float)bench->geometry.height / 2;
    const int64_t start = clock_now_ns();
    if (model_segment(bench->model, bench->session, worker, bench->embedding, prepared, &centre,
                      &segmentation, &error) != STATUS_OK)
        die("prompt", error.message);
    const double milliseconds = since(start);
    segmentation_free(&segmentation);
    return milliseconds;
}

static double find_all(struct bench *bench, struct worker *worker) {
    struct everything found;
    struct error error = {0};
    const int64_t start = clock_now_ns();
    if (model_everything(bench->model, worker, bench->embedding, NULL, &EVERYTHING_DEFAULTS, NULL,
                         &found, &error) != STATUS_OK)
        die("all", error.message);
    const double milliseconds = since(start);
    everything_free(&found);
    bench->profile.count = 0;
    return milliseconds;
}

static void run(struct pool_job *job, struct worker *worker) {
    struct bench *bench = (struct bench *)job;
    const double milliseconds = bench->task == ENCODE ? encode(bench, worker)
                                : bench->task == ALL  ? find_all(bench, worker)
                                                      : prompt(bench, worker);
    pthread_mutex_lock(&bench->mutex);
    bench->milliseconds = milliseconds;
    bench->done = true;
    pthread_cond_signal(&bench->finished);
    pthread_mutex_unlock(&bench->mutex);
}

static double run_once(struct bench *bench, struct pool *pool, enum task task) {
    bench->task = task;
    bench->done = false;
    pool_submit(pool, task == ENCODE || task == ALL ? LANE_BULK : LANE_INTERACTIVE, &bench->job);
    pthread_mutex_lock(&bench->mutex);
    while (!bench->done)
        pthread_cond_wait(&bench->finished, &bench->mutex);
    pthread_mutex_unlock(&bench->mutex);
    return bench->milliseconds;
}

static void answer(double milliseconds, const struct profile *profile) {
    printf("%.3f", milliseconds);
    for (size_t i = 0; i < profile->count; i++) {
        const struct profile_stage *stage = &profile->stages[i];
        printf("\t%.6f %.0f %s", (double)stage->ns * 1e-6, stage->macs, stage->name);
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    static struct bench bench = {
        .mutex = PTHREAD_MUTEX_INITIALIZER, .finished = PTHREAD_COND_INITIALIZER, .job.run = run};
    struct error error = {0};
    struct model *model;
    struct pool *pool;
    char line[32];
    enum precision precision =
        argc == 5 && strcmp(argv[4], "bf16") == 0 ? PRECISION_BF16 : PRECISION_FP32;
    if (argc != 4 && precision != PRECISION_BF16)
        die("usage", "engine-bench MODEL IMAGE WORKERS [bf16]");
    engine_init();
    if (model_load(argv[1], precision, &model, &error) != STATUS_OK)
        die(argv[1], error.message);
    if (model_info(model)->precision != precision)
        die("bf16", "this CPU cannot");
    bench.model = model;
    bench.embedding = malloc(sizeof *bench.embedding);
    struct pool_options options = {.workers = atoi(argv[3]),
                                   .scratch_bytes = model_tile_scratch_bytes(model),
                                   .queue_limit = {1, 1}};
    if (!bench.embedding || session_create(model, &bench.session, &error) != STATUS_OK ||
        pool_create(&options, &pool, &error) != STATUS_OK)
        die("start", error.message);
    session_profile(bench.session, &bench.profile);
    read_scaled_image(argv[2], model_info(model)->input_size, &bench.scaled, &bench.geometry);
    run_once(&bench, pool, ENCODE); /* there is an embedding to prompt */
    while (fgets(line, sizeof line, stdin)) {
        enum task task = *line == 'e' ? ENCODE : *line == 'f' ? FIRST : *line == 'a' ? ALL : PROMPT;
        answer(run_once(&bench, pool, task), &bench.profile);
    }
    pool_free(pool);
    session_free(bench.session);
    image_free(&bench.scaled);
    prepared_free(bench.prepared);
    free(bench.embedding);
    model_free(model);
    return 0;
}
