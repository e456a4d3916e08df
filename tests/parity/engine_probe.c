/* engine-probe: the engine's inner results as files, for the parity tests.
 *
 *   engine-probe MODEL IMAGE PROMPTS.json DIRECTORY WORKERS
 *
 * PROMPTS.json is the body of a segment request. Into DIRECTORY go
 *   scaled.rgb     the image as the encoder sees it, [height][width][3] bytes
 *   embedding.f32  the encoder's output, [256][64][64]
 *   logits.f32     for each prompt the low-resolution logits of all four mask tokens,
 * [n][4][256][256] iou.f32        for each prompt their predicted IoU, [n][4] The decoder gets the
 * embedding as the store keeps it, in float16. */
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

static void write_file(const char *directory, const char *name, const void *bytes, size_t size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        die(path, "cannot write");
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
};

static unsigned all_masks(const float iou[SAM_MASK_TOKENS], const void *argument) {
    (void)iou, (void)argument;
    return (1u << SAM_MASK_TOKENS) - 1;
}

static void write_embedding(const struct probe *probe, const float *values) {
    float *planes = allocate(EMBEDDING_VALUES * sizeof *planes);
    for (size_t i = 0; i < SAM_GRID; i++)
        for (size_t c = 0; c < SAM_DIM; c++)
            planes[c * SAM_GRID + i] = values[i * SAM_DIM + c];
    write_file(probe->directory, "embedding.f32", planes, EMBEDDING_VALUES * sizeof *planes);
    free(planes);
}

static void run(struct pool_job *job, struct worker *worker) {
    struct probe *probe = (struct probe *)job;
    size_t n = probe->prompts.count;
    float *embedding = allocate(EMBEDDING_VALUES * sizeof *embedding);
    uint16_t *half = allocate(EMBEDDING_VALUES * sizeof *half);
    float *encode_arena = allocate(tiny_vit_arena_floats() * sizeof *encode_arena);
    float *decode_arena = allocate(mask_decoder_arena_floats() * sizeof *decode_arena);
    float *logits = allocate(n * SAM_MASK_TOKENS * SAM_MASK_VALUES * sizeof *logits);
    float *iou = allocate(n * SAM_MASK_TOKENS * sizeof *iou);
    float *sparse = allocate(SAM_SPARSE_MAX * SAM_DIM * sizeof *sparse);
    float *prior = allocate((SAM_MASK_VALUES + PROMPT_DENSE_SCRATCH) * sizeof *prior);
    float *dense = allocate((size_t)SAM_GRID * SAM_DIM * sizeof *dense);

    tiny_vit_encode(&probe->encoder, encode_arena, worker, &probe->scaled, embedding);
    write_embedding(probe, embedding);
    probe->encoder.kernels->to_half(embedding, half, EMBEDDING_VALUES);
    for (size_t i = 0; i < n; i++) {
        const struct prompt *prompt = &probe->prompts.items[i].prompt;
        struct mask_decoder_input input = {
            .embedding = half, .dense_everywhere = probe->prompt_encoder.no_mask, .sparse = sparse};
        input.sparse_count =
            prompt_encoder_sparse(&probe->prompt_encoder, &probe->geometry, prompt, sparse);
        if (prompt->mask) {
            prior_mask_logits(prompt->mask, &probe->geometry, prior);
            prompt_encoder_dense(&probe->prompt_encoder, prior, prior + SAM_MASK_VALUES, dense);
            input.dense = dense;
        }
        struct mask_decoder_output output = {.logits =
                                                 logits + i * SAM_MASK_TOKENS * SAM_MASK_VALUES};
        mask_decoder_run(&probe->decoder, decode_arena, worker, &input, all_masks, NULL, &output);
        memcpy(iou + i * SAM_MASK_TOKENS, output.iou, sizeof output.iou);
    }
    write_file(probe->directory, "scaled.rgb", probe->scaled.rgb,
               (size_t)probe->scaled.width * (size_t)probe->scaled.height * 3);
    write_file(probe->directory, "logits.f32", logits,
               n * SAM_MASK_TOKENS * SAM_MASK_VALUES * sizeof *logits);
    write_file(probe->directory, "iou.f32", iou, n * SAM_MASK_TOKENS * sizeof *iou);
    float *all[] = {embedding, encode_arena, decode_arena, logits, iou, sparse, prior, dense};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(half);
}

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
    struct pool_options options = {
        .workers = atoi(argv[5]), .scratch_bytes = 8u << 20, .queue_limit = {1, 1}};
    if (pool_create(&options, &pool, &error) != STATUS_OK)
        die("pool", error.message);
    pool_submit(pool, LANE_BULK, &probe.job);
    while (pool_lane_state(pool, LANE_BULK).queued > 0)
        ;
    pool_free(pool); /* waits for the job */
    image_free(&probe.scaled);
    prompt_list_free(&probe.prompts);
    weights_free(&weights);
    safetensors_free(file);
    return 0;
}
