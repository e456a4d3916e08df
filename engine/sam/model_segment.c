/* model_segment: embedding + prompt -> masks. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/sam/model.h"

struct prepared *model_prepare(const struct model *model, struct worker *worker,
                               const struct embedding *embedding) {
    struct prepared *prepared = model_map_pages(sizeof *prepared);
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

size_t model_looked_at(int scaled) {
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
    enum status status = mask_upsampler_init(upsampler, geometry, NULL, error);
    for (int token = 0; token < SAM_MASK_TOKENS && status == STATUS_OK; token++) {
        const float *logits = output->logits + (size_t)token * SAM_MASK_VALUES;
        if (!(output->wanted >> token & 1))
            continue;
        struct segment *segment = &segmentation->segments[segmentation->count];
        status = mask_upsampler_run(upsampler, logits, (struct mask_cut){prompt->threshold, 1.0f},
                                    segment, error);
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
        input.height = model_looked_at(embedding->geometry.scaled_height);
        input.width = model_looked_at(embedding->geometry.scaled_width);
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
