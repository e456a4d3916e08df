/* engine-probe: the engine's inner results as files, for the parity tests.
 *
 *   engine-probe MODEL IMAGE PROMPTS.json DIRECTORY WORKERS
 *
 * PROMPTS.json is the body of a segment request with n prompts. Into DIRECTORY go
 *
 *   scaled.rgb      [height][width][3]   the image as the encoder sees it, in bytes
 *   embedding.f32   [256][64][64]        the encoder's output
 *   embedding.f16   [256][64][64]        the same as the store keeps it and the decoder gets it
 *   prior.f32       [n][256][256]        prior masks as logits; zeros where there is none
 *   logits.f32      [n][4][256][256]     the low-resolution logits of all four mask tokens
 *   iou.f32         [n][4]               and their predicted IoU
 */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "engine/sam/mask_decoder.h"
#include "engine/sam/tiny_vit.h"
#include "engine/weights/safetensors.h"

static void die(const char *what, const char *why) {
    fprintf(stderr, "engine-probe: %s: %s\n", what, why);
    exit(1);
}

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        die(path, "cannot open");
    long end = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc((size_t)end + 1);
    if (!bytes || fread(bytes, 1, (size_t)end, file) != (size_t)end)
        die(path, "cannot read");
    fclose(file);
    *size = (size_t)end;
    return bytes;
}

static void *allocate(size_t size) {
    void *memory = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!memory)
        die("memory", "none left");
    return memory;
}

struct probe {
    struct pool_job job;
    struct tiny_vit encoder;
    struct prompt_encoder prompt_encoder;
    struct mask_decoder decoder;
    struct image scaled;
    struct geometry geometry;
    struct prompt_list prompts;
    const char *directory;
    sem_t done;
};

/* ---- files ------------------------------------------------------------------------------- */

static FILE *create(const struct probe *probe, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", probe->directory, name);
    FILE *file = fopen(path, "wb");
    if (!file)
        die(path, "cannot write");
    return file;
}

static void append(FILE *file, const void *bytes, size_t size) {
    if (fwrite(bytes, 1, size, file) != size)
        die("the results", "cannot write");
}

static void finish(FILE *file) {
    if (fclose(file) != 0)
        die("the results", "cannot write");
}

static void write_file(const struct probe *probe, const char *name, const void *bytes,
                       size_t size) {
    FILE *file = create(probe, name);
    append(file, bytes, size);
    finish(file);
}

/* [position][channel] -> [channel][position] */
static void write_embedding(const struct probe *probe, const float *values,
                            const uint16_t *halves) {
    float *planes = allocate(EMBEDDING_VALUES * sizeof *planes);
    uint16_t *half_planes = allocate(EMBEDDING_VALUES * sizeof *half_planes);
    for (size_t i = 0; i < SAM_GRID; i++) {
        for (size_t c = 0; c < SAM_DIM; c++) {
            planes[c * SAM_GRID + i] = values[i * SAM_DIM + c];
            half_planes[c * SAM_GRID + i] = halves[i * SAM_DIM + c];
        }
    }
    write_file(probe, "embedding.f32", planes, EMBEDDING_VALUES * sizeof *planes);
    write_file(probe, "embedding.f16", half_planes, EMBEDDING_VALUES * sizeof *half_planes);
    free(planes);
    free(half_planes);
}

/* ---- the work ---------------------------------------------------------------------------- */

static unsigned all_masks(const float iou[SAM_MASK_TOKENS], const void *argument) {
    (void)iou, (void)argument;
    return (1u << SAM_MASK_TOKENS) - 1;
}

/* What one prompt becomes. */
struct decoded {
    float prior[SAM_MASK_VALUES];
    float logits[SAM_MASK_TOKENS * SAM_MASK_VALUES];
    float iou[SAM_MASK_TOKENS];
};

static void decode(const struct probe *probe, struct worker *worker, const struct prompt *prompt,
                   const uint16_t *embedding, struct decoded *decoded) {
    float *arena = allocate(mask_decoder_arena_floats() * sizeof *arena);
    float *sparse = allocate(SAM_SPARSE_MAX * SAM_DIM * sizeof *sparse);
    float *dense = allocate((size_t)SAM_GRID * SAM_DIM * sizeof *dense);
    float *scratch = allocate(PROMPT_DENSE_SCRATCH * sizeof *scratch);
    const struct prompt_encoder *encoder = &probe->prompt_encoder;
    struct mask_decoder_input input = {
        .embedding = embedding, .dense_everywhere = encoder->no_mask, .sparse = sparse};
    struct mask_decoder_output output = {.logits = decoded->logits};

    input.sparse_count = prompt_encoder_sparse(encoder, &probe->geometry, prompt, sparse);
    memset(decoded->prior, 0, sizeof decoded->prior);
    if (prompt->mask) {
        prior_mask_logits(prompt->mask, &probe->geometry, decoded->prior);
        prompt_encoder_dense(encoder, decoded->prior, scratch, dense);
        input.dense = dense;
    }
    mask_decoder_run(&probe->decoder, arena, worker, &input, all_masks, NULL, &output);
    memcpy(decoded->iou, output.iou, sizeof output.iou);
    free(arena);
    free(sparse);
    free(dense);
    free(scratch);
}

static void run(struct pool_job *job, struct worker *worker) {
    struct probe *probe = (struct probe *)job;
    float *embedding = allocate(EMBEDDING_VALUES * sizeof *embedding);
    uint16_t *half = allocate(EMBEDDING_VALUES * sizeof *half);
    float *arena = allocate(tiny_vit_arena_floats() * sizeof *arena);
    struct decoded *decoded = allocate(sizeof *decoded);

    tiny_vit_encode(&probe->encoder, arena, worker, &probe->scaled, embedding, NULL);
    probe->encoder.kernels->to_half(embedding, half, EMBEDDING_VALUES);
    write_embedding(probe, embedding, half);

    write_file(probe, "scaled.rgb", probe->scaled.rgb,
               (size_t)probe->scaled.width * (size_t)probe->scaled.height * 3);
    FILE *prior = create(probe, "prior.f32"), *logits = create(probe, "logits.f32"),
         *iou = create(probe, "iou.f32");
    for (size_t i = 0; i < probe->prompts.count; i++) {
        decode(probe, worker, &probe->prompts.items[i].prompt, half, decoded);
        append(prior, decoded->prior, sizeof decoded->prior);
        append(logits, decoded->logits, sizeof decoded->logits);
        append(iou, decoded->iou, sizeof decoded->iou);
    }
    finish(prior);
    finish(logits);
    finish(iou);
    free(embedding);
    free(half);
    free(arena);
    free(decoded);
    sem_post(&probe->done);
}

/* ---- what is asked for ------------------------------------------------------------------- */

static void load_image(struct probe *probe, const char *path) {
    struct error error = {0};
    struct image_limits limits = {.max_pixels = 100000000, .max_side = 65500};
    struct image image;
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    if (image_decode(bytes, size, &limits, NULL, &image, &error) != STATUS_OK)
        die(path, error.message);
    geometry_fit(image.width, image.height, TINY_VIT_INPUT, &probe->geometry);
    if (image_resize(&image, probe->geometry.scaled_width, probe->geometry.scaled_height, NULL,
                     &probe->scaled, &error) != STATUS_OK)
        die(path, error.message);
    image_free(&image);
    free(bytes);
}

static void load_prompts(struct probe *probe, const char *path) {
    struct problem problem = {0};
    struct prompt_limits limits = {probe->geometry.width, probe->geometry.height, 1000};
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    if (!prompt_list_parse((char *)bytes, size, &limits, &probe->prompts, &problem))
        die(path, problem.fault_count ? problem.faults[0].detail : problem.detail);
    free(bytes);
}

int main(int argc, char **argv) {
    static struct probe probe;
    struct error error = {0};
    struct safetensors *file;
    struct pool *pool;
    if (argc != 6)
        die("usage", "engine-probe MODEL IMAGE PROMPTS.json DIRECTORY WORKERS");
    engine_init();
    if (safetensors_open(argv[1], &file, &error) != STATUS_OK)
        die(argv[1], error.message);
    struct weights weights = {.file = file};
    tiny_vit_load(&probe.encoder, kernels_best(), &weights);
    prompt_encoder_load(&probe.prompt_encoder, kernels_best(), &weights);
    mask_decoder_load(&probe.decoder, &probe.prompt_encoder, &weights);
    if (weights.failed)
        die(argv[1], "tensors are missing");
    load_image(&probe, argv[2]);
    load_prompts(&probe, argv[3]);
    probe.directory = argv[4];
    probe.job.run = run;
    size_t encoder = tiny_vit_tile_scratch_bytes(), decoder = mask_decoder_tile_scratch_bytes();
    struct pool_options options = {.workers = atoi(argv[5]),
                                   .scratch_bytes = encoder > decoder ? encoder : decoder,
                                   .queue_limit = {1, 1}};
    if (pool_create(&options, &pool, &error) != STATUS_OK)
        die("pool", error.message);
    if (sem_init(&probe.done, 0, 0) != 0 || !pool_submit(pool, LANE_BULK, &probe.job))
        die("pool", "does not take the job");
    while (sem_wait(&probe.done) != 0)
        ; /* interrupted */
    pool_free(pool);
    image_free(&probe.scaled);
    prompt_list_free(&probe.prompts);
    weights_free(&weights);
    safetensors_free(file);
    return 0;
}
