/* model: what engine.h promises, for MobileSAM. */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/engine.h"
#include "engine/kernels/kernels.h"
#include "engine/sam/mask_decoder.h"
#include "engine/sam/mask_upsample.h"
#include "engine/sam/prompt_encoder.h"
#include "engine/sam/tiny_vit.h"
#include "engine/sam/weights.h"
#include "engine/weights/mobile_sam_tensors.h"
#include "engine/weights/safetensors.h"

struct model {
    struct model_info info;
    struct safetensors *file;
    struct weights weights;
    struct tiny_vit encoder;
    struct prompt_encoder prompt_encoder;
    struct mask_decoder mask_decoder;
};

/* The parts of a session's arena, which encoding and decoding use one after the other. */
struct decode_arena {
    float logits[SAM_MASK_TOKENS * SAM_MASK_VALUES];
    float sparse[SAM_SPARSE_MAX * SAM_DIM];
    float prior[SAM_MASK_VALUES];
    float dense_scratch[PROMPT_DENSE_SCRATCH];
    float dense[SAM_GRID * SAM_DIM];
    struct mask_upsampler upsampler;
    _Alignas(64) float activations[]; /* mask_decoder_arena_floats() */
};

struct session {
    float *arena;
    size_t bytes;
    bool encoded;            /* since the arena was last given back */
    struct profile *profile; /* borrowed; NULL: none */
};

/* ---- the model --------------------------------------------------------------------------- */

void engine_init(void) {
    openblas_set_num_threads(1);
}

const char *engine_blas_core(void) {
    return openblas_get_corename();
}

const char *engine_kernel_isa(void) {
    return kernels_best()->isa;
}

/* "models/mobile_sam.safetensors" -> "mobile_sam" */
static void name_from_path(const char *path, char *name, size_t size) {
    const char *slash = strrchr(path, '/');
    snprintf(name, size, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = '\0';
}

static enum status check_file(const struct safetensors *file, struct model_info *info,
                              struct error *error) {
    const char *architecture = safetensors_metadata(file, "architecture");
    if (!architecture || strcmp(architecture, MOBILE_SAM_ARCHITECTURE) != 0)
        return error_set(error, STATUS_UNSUPPORTED,
                         "the architecture is %.60s; this version runs " MOBILE_SAM_ARCHITECTURE
                         " (maskd-import converts the official weights)",
                         architecture ? architecture : "not named");
    enum status status = mobile_sam_check(file, error);
    if (status != STATUS_OK)
        return status;
    const char *expected = safetensors_metadata(file, "data_sha256");
    const char *licence = safetensors_metadata(file, "licence");
    safetensors_data_sha256(file, info->weights_sha256);
    if (!expected || strcmp(expected, info->weights_sha256) != 0)
        return error_set(
            error, STATUS_INVALID,
            "the weights are damaged: their SHA-256 is %.16s..., the file says %.16s...",
            info->weights_sha256, expected ? expected : "nothing");
    snprintf(info->architecture, sizeof info->architecture, "%s", architecture);
    snprintf(info->licence, sizeof info->licence, "%s", licence ? licence : "");
    info->input_size = TINY_VIT_INPUT;
    for (size_t i = 0; i < safetensors_count(file); i++)
        info->parameter_count += safetensors_at(file, i)->bytes / sizeof(float);
    return STATUS_OK;
}

enum status model_load(const char *path, enum precision precision, struct model **out,
                       struct error *error) {
    *out = NULL;
    struct model *model = calloc(1, sizeof *model);
    if (!model)
        return error_set(error, STATUS_NO_MEMORY, "no memory for the model");
    enum status status = safetensors_open(path, &model->file, error);
    if (status == STATUS_OK)
        status = check_file(model->file, &model->info, error);
    if (status == STATUS_OK) {
        const struct kernels *kernels = kernels_best();
        name_from_path(path, model->info.name, sizeof model->info.name);
        model->weights.file = model->file;
        bool bf16 = precision != PRECISION_FP32 && kernels->fast_bf16;
        model->info.precision = bf16 ? PRECISION_BF16 : PRECISION_FP32;
        tiny_vit_load(&model->encoder, kernels, bf16, &model->weights);
        prompt_encoder_load(&model->prompt_encoder, kernels, &model->weights);
        mask_decoder_load(&model->mask_decoder, &model->prompt_encoder, &model->weights);
        safetensors_trim(model->file); /* what was packed is not read again */
        if (model->weights.failed)
            status = error_set(error, STATUS_NO_MEMORY, "no memory for the weights");
    }
    if (status != STATUS_OK) {
        model_free(model);
        return status;
    }
    *out = model;
    return STATUS_OK;
}

void model_free(struct model *model) {
    if (!model)
        return;
    weights_free(&model->weights);
    safetensors_free(model->file);
    free(model);
}

const struct model_info *model_info(const struct model *model) {
    return &model->info;
}

size_t model_tile_scratch_bytes(const struct model *model) {
    (void)model;
    size_t encoder = tiny_vit_tile_scratch_bytes(), decoder = mask_decoder_tile_scratch_bytes();
    return encoder > decoder ? encoder : decoder;
}

/* ---- sessions ---------------------------------------------------------------------------- */

/* Zeroed, in large pages where there are some: to touch millions of bytes one small page after the
 * other takes milliseconds. NULL when there is no memory. */
static void *map_pages(size_t bytes) {
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    madvise(pages, bytes, MADV_HUGEPAGE);
    return pages;
}

enum status session_create(const struct model *model, struct session **out, struct error *error) {
    (void)model;
    size_t embedding = EMBEDDING_VALUES * sizeof(float);
    size_t encode = tiny_vit_arena_floats() * sizeof(float) + embedding;
    size_t decode = sizeof(struct decode_arena) + mask_decoder_arena_floats() * sizeof(float);
    *out = NULL;
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return error_set(error, STATUS_NO_MEMORY, "no memory for a session");
    session->bytes = encode > decode ? encode : decode;
    session->arena = map_pages(session->bytes);
    if (!session->arena) {
        size_t bytes = session->bytes;
        free(session);
        return error_set(error, STATUS_NO_MEMORY, "no memory for a session's %zu bytes", bytes);
    }
    *out = session;
    return STATUS_OK;
}

void session_free(struct session *session) {
    if (!session)
        return;
    munmap(session->arena, session->bytes);
    free(session);
}

void session_trim(struct session *session, enum trim trim) {
    if (trim == TRIM_ALL || session->encoded)
        madvise(session->arena, session->bytes, MADV_DONTNEED);
    session->encoded = false;
}

void session_profile(struct session *session, struct profile *profile) {
    session->profile = profile;
}

/* ---- image -> embedding ------------------------------------------------------------------ */

void geometry_fit(int width, int height, int input_size, struct geometry *geometry) {
    double scale = (double)input_size / (width > height ? width : height);
    int scaled_width = (int)(width * scale + 0.5), scaled_height = (int)(height * scale + 0.5);
    geometry->width = width;
    geometry->height = height;
    geometry->scaled_width = scaled_width < 1 ? 1 : scaled_width;
    geometry->scaled_height = scaled_height < 1 ? 1 : scaled_height;
}

void model_encode(const struct model *model, struct session *session, struct worker *worker,
                  const struct image *scaled, const struct geometry *geometry,
                  struct embedding *embedding) {
    float *values = session->arena + tiny_vit_arena_floats();
    session->encoded = true;
    tiny_vit_encode(&model->encoder, session->arena, worker, scaled, values, session->profile);
    model->encoder.kernels->to_half(values, embedding->values, EMBEDDING_VALUES);
    embedding->geometry = *geometry;
}

/* ---- embedding + prompt -> masks --------------------------------------------------------- */

struct prepared {
    struct image_side image_side;
};

struct prepared *model_prepare(const struct model *model, struct worker *worker,
                               const struct embedding *embedding) {
    struct prepared *prepared = map_pages(sizeof *prepared);
    if (prepared)
        mask_decoder_image_side(&model->mask_decoder, worker,
                                &(struct mask_decoder_input){
                                    .embedding = embedding->values,
                                    .dense_everywhere = model->prompt_encoder.no_mask,
                                },
                                &prepared->image_side);
    return prepared;
}

void prepared_free(struct prepared *prepared) {
    if (prepared)
        munmap(prepared, sizeof *prepared);
}

struct choice {
    enum multimask multimask;
    size_t sparse_count;
};

/* The multimask that wants one token's mask alone. */
static enum multimask alone(int token) {
    return (enum multimask)(MULTIMASK_SINGLE + token);
}

/* Which mask tokens a prompt may want. AUTO is select_masks in utils/onnx.py: with more than two
 * tokens (a padding point counts as one) the single mask, otherwise the best of the three. */
static unsigned candidate_masks(const struct choice *choice) {
    if (choice->multimask >= MULTIMASK_SINGLE)
        return 1u << (choice->multimask - MULTIMASK_SINGLE);
    const bool single = choice->multimask == MULTIMASK_AUTO && choice->sparse_count > 2;
    return single ? 1u << 0 : 1u << 1 | 1u << 2 | 1u << 3;
}

static unsigned choose_masks(const float iou[SAM_MASK_TOKENS], const void *argument) {
    const struct choice *choice = argument;
    unsigned candidates = candidate_masks(choice);
    if (choice->multimask != MULTIMASK_AUTO || candidates == 1u << 0)
        return candidates;
    int best = 1;
    for (int i = 2; i < SAM_MASK_TOKENS; i++)
        best = iou[i] > iou[best] ? i : best;
    return 1u << best;
}

/* How many rows (columns) of low-resolution logits make those of the image: a quarter of its scaled
 * size, and the three taps of the last pixel. */
static size_t looked_at(int scaled) {
    size_t count = (size_t)scaled / 4 + 3;
    return count < SAM_LOW_RES ? count : SAM_LOW_RES;
}

static enum status check_prompt(const struct embedding *embedding, const struct prompt *prompt,
                                struct error *error) {
    const struct geometry *geometry = &embedding->geometry;
    if (prompt->point_count < 0 || prompt->point_count > PROMPT_POINTS_MAX)
        return error_set(error, STATUS_INVALID, "%d points; the limit is %d", prompt->point_count,
                         PROMPT_POINTS_MAX);
    if (prompt->point_count == 0 && !prompt->has_box && !prompt->mask && !prompt->logits)
        return error_set(error, STATUS_INVALID, "a prompt needs points, a box or a mask");
    if (prompt->mask && prompt->logits)
        return error_set(error, STATUS_INVALID, "a prompt has one prior mask");
    if (prompt->mask &&
        (prompt->mask->width != geometry->width || prompt->mask->height != geometry->height))
        return error_set(error, STATUS_INVALID, "the mask is %d x %d, the image %d x %d",
                         prompt->mask->width, prompt->mask->height, geometry->width,
                         geometry->height);
    return STATUS_OK;
}

static enum status keep_logits(const float *logits, struct segment *segment, struct error *error) {
    const size_t bytes = LOW_RES_VALUES * sizeof *logits;
    segment->logits = malloc(bytes);
    if (!segment->logits)
        return error_set(error, STATUS_NO_MEMORY, "no memory for a mask's logits");
    memcpy(segment->logits, logits, bytes);
    return STATUS_OK;
}

/* On failure, segmentation has the masks that were made before it. */
static enum status upsample_masks(struct mask_upsampler *upsampler, const struct geometry *geometry,
                                  const struct mask_decoder_output *output,
                                  const struct prompt *prompt, struct segmentation *segmentation,
                                  struct error *error) {
    enum status status = mask_upsampler_init(upsampler, geometry, error);
    for (int token = 0; token < SAM_MASK_TOKENS && status == STATUS_OK; token++) {
        const float *logits = output->logits + (size_t)token * SAM_MASK_VALUES;
        if (!(output->wanted >> token & 1))
            continue;
        struct segment *segment = &segmentation->segments[segmentation->count];
        status = mask_upsampler_run(upsampler, logits, prompt->threshold, segment, error);
        if (status != STATUS_OK)
            break;
        segment->predicted_iou = output->iou[token];
        segment->token = alone(token);
        segmentation->count++;
        if (prompt->keep_logits)
            status = keep_logits(logits, segment, error);
    }
    mask_upsampler_free(upsampler);
    return status;
}

enum status model_segment(const struct model *model, struct session *session, struct worker *worker,
                          const struct embedding *embedding, const struct prepared *prepared,
                          const struct prompt *prompt, struct segmentation *segmentation,
                          struct error *error) {
    memset(segmentation, 0, sizeof *segmentation);
    enum status status = check_prompt(embedding, prompt, error);
    if (status != STATUS_OK)
        return status;
    profile_begin(session->profile);
    struct decode_arena *arena = (struct decode_arena *)session->arena;
    struct mask_decoder_input input = {
        .profile = session->profile,
        .embedding = embedding->values,
        .dense_everywhere = model->prompt_encoder.no_mask,
        .image_side = prepared ? &prepared->image_side : NULL,
        .sparse = arena->sparse,
        .sparse_count = prompt_encoder_sparse(&model->prompt_encoder, &embedding->geometry, prompt,
                                              arena->sparse),
    };
    const float *prior = prompt->logits;
    if (prompt->mask) {
        prior_mask_logits(prompt->mask, &embedding->geometry, arena->prior);
        prior = arena->prior;
    }
    if (prior) {
        prompt_encoder_dense(&model->prompt_encoder, prior, arena->dense_scratch, arena->dense);
        input.dense = arena->dense;
    }
    profile_end_stage(session->profile, "prompt_encoder", 0);
    struct choice choice = {prompt->multimask, input.sparse_count};
    input.candidates = candidate_masks(&choice);
    if (!prompt->keep_logits) {
        input.height = looked_at(embedding->geometry.scaled_height);
        input.width = looked_at(embedding->geometry.scaled_width);
    }
    struct mask_decoder_output output = {.logits = arena->logits};
    mask_decoder_run(&model->mask_decoder, arena->activations, worker, &input, choose_masks,
                     &choice, &output);
    status = upsample_masks(&arena->upsampler, &embedding->geometry, &output, prompt, segmentation,
                            error);
    profile_end_stage(session->profile, "postprocess_masks", 0);
    if (status != STATUS_OK)
        segmentation_free(segmentation);
    return status;
}
