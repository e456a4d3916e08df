/* model: what engine.h promises of models, sessions and encoding, for MobileSAM. */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/kernels/kernels.h"
#include "engine/sam/model.h"
#include "engine/sam/point_decoder.h"
#include "engine/weights/mobile_sam_tensors.h"

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
    const size_t parts[] = {tiny_vit_tile_scratch_bytes(), mask_decoder_tile_scratch_bytes(),
                            point_terms_scratch_bytes()};
    size_t most = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        most = parts[i] > most ? parts[i] : most;
    return most;
}

/* ---- sessions ---------------------------------------------------------------------------- */

void *model_map_pages(size_t bytes) {
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
    session->arena = model_map_pages(session->bytes);
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
