#include "engine/sam/mask_decoder.h"

#include <string.h>

#include "engine/sam/decoding.h"

size_t mask_decoder_arena_floats(void) {
    return sizeof(struct activations) / sizeof(float);
}

size_t mask_decoder_tile_scratch_bytes(void) {
    const size_t pass = decoder_pass_scratch_bytes(), upscale = decoder_upscale_scratch_bytes();
    return pass > upscale ? pass : upscale;
}

/* ---- multiply-adds of the original modules ----------------------------------------------- */

static double attention_macs(double queries, double keys, double inner) {
    return inner * (2 * queries * SAM_DIM + 2 * keys * SAM_DIM + 2 * queries * keys);
}

static double tokens_macs(double t) {
    return attention_macs(t, t, SAM_DIM) + 2 * t * SAM_DIM * MLP_DIM;
}

static double upscaling_macs(const struct mask_decoder *decoder) {
    return (double)SAM_GRID * SAM_DIM * (double)decoder->upscale1.out +
           4.0 * SAM_GRID * UPSCALE1_CHANNELS * (double)decoder->upscale2.out;
}

/* ------------------------------------------------------------------------------------------ */

static void begin(struct decoding *job) {
    const struct mask_decoder_input *input = job->input;
    struct activations *at = job->at;
    const size_t fixed = (1 + SAM_MASK_TOKENS) * SAM_DIM;
    job->kernels = job->decoder->kernels;
    job->kept = input->dense ? NULL : input->image_side;
    job->tokens = 1 + SAM_MASK_TOKENS + input->sparse_count;
    memcpy(at->queries, job->decoder->output_tokens, fixed * sizeof(float));
    memcpy(at->queries + fixed, input->sparse, input->sparse_count * SAM_DIM * sizeof(float));
    memcpy(at->query_position, at->queries, job->tokens * SAM_DIM * sizeof(float));
}

/* TwoWayTransformer.forward: leaves its outputs in queries, those of the candidates, and keys. The
 * stages' multiply-adds are those of the original modules; "image" is a pass. */
static void run_transformer(struct decoding *job, struct worker *worker) {
    static const char *const tokens_names[] = {"transformer.layers.0.tokens",
                                               "transformer.layers.1.tokens"};
    static const char *const image_names[] = {"transformer.layers.0.image",
                                              "transformer.layers.1.image"};
    const struct mask_decoder *decoder = job->decoder;
    struct profile *profile = job->input->profile;
    const double t = (double)job->tokens;
    const double cross = attention_macs(t, SAM_GRID, SAM_CROSS_DIM);
    for (int i = 0; i < SAM_LAYERS; i++) {
        const struct two_way_layer *layer = &decoder->layers[i];
        decoder_self_attention(job, layer, i == 0);
        decoder_prepare_gathering(job, &layer->token_to_image, i == 0);
        profile_end_stage(profile, tokens_names[i], tokens_macs(t));
        job->makes_keys = i == (job->kept ? 1 : 0);
        decoder_run_pass(job, worker);
        profile_end_stage(profile, image_names[i], i == 0 ? cross : 2 * cross);
        decoder_finish_gathering(job, &layer->norm2);
        decoder_token_mlp(job, layer);
        decoder_prepare_spreading(job, layer, i == 0);
    }
    job->makes_keys = false;
    decoder_keep_candidates(job);
    decoder_prepare_gathering(job, &decoder->final_attention, false);
    profile_end_stage(profile, "transformer.final.tokens", 0);
    decoder_run_pass(job, worker);
    profile_end_stage(profile, "transformer.final.image", 2 * cross);
    decoder_finish_gathering(job, &decoder->final_norm);
}

void decoder_run_hypernetworks(struct decoding *job, size_t prompt) {
    struct activations *at = job->at;
    const float *queries = at->queries + prompt * job->tokens * SAM_DIM;
    job->wanted_count = 0;
    for (size_t token = 0; token < SAM_MASK_TOKENS; token++)
        if (job->wanted >> token & 1)
            decoder_run_mlp(job, &job->decoder->hypernetworks[token],
                            queries + job->slots[token] * SAM_DIM,
                            at->hyper + job->wanted_count++ * UPSCALE2_CHANNELS);
}

void mask_decoder_run(const struct mask_decoder *decoder, float *arena, struct worker *worker,
                      const struct mask_decoder_input *input, mask_chooser *choose,
                      const void *argument, struct mask_decoder_output *output) {
    struct decoding job = {
        .decoder = decoder, .input = input, .at = (struct activations *)arena, .prompts = 1};
    begin(&job);
    run_transformer(&job, worker);
    float iou[KERNEL_CHANNEL_STEP];
    decoder_run_mlp(&job, &decoder->iou_head, job.at->queries, iou);
    memcpy(output->iou, iou, sizeof output->iou);
    output->wanted = job.wanted = choose(output->iou, argument);
    job.logits = output->logits;
    decoder_run_hypernetworks(&job, 0);
    profile_end_stage(input->profile, "hypernetworks", 0);
    decoder_upscale(&job, worker);
    profile_end_stage(input->profile, "output_upscaling", upscaling_macs(decoder));
}
