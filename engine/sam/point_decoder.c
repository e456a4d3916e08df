#include "engine/sam/point_decoder.h"

#include <string.h>
#include <sys/mman.h>

#include "engine/sam/model.h"
#include "engine/sam/point_decoding.h"

enum { CANDIDATES = 1u << 1 | 1u << 2 | 1u << 3 };
_Static_assert(POINT_BATCH *POINT_TOKENS <= SAM_TOKENS_MAX, "room for the tokens of a batch");
_Static_assert(4 * UPSCALE1_CHANNELS == SAM_DIM, "upscaling begins with a square matrix");

struct point_memory *point_memory_create(void) {
    return model_map_pages(sizeof(struct point_memory));
}

void point_memory_free(struct point_memory *memory) {
    if (memory)
        munmap(memory, sizeof *memory);
}

static void begin(struct decoding *job, const struct point_batch *batch) {
    struct activations *at = job->at;
    const size_t fixed = (1 + SAM_MASK_TOKENS) * SAM_DIM, all = POINT_TOKENS * SAM_DIM;
    for (size_t i = 0; i < batch->count; i++) {
        memcpy(at->queries + i * all, job->decoder->output_tokens, fixed * sizeof(float));
        memcpy(at->queries + i * all + fixed, batch->tokens[i], sizeof batch->tokens[i]);
    }
    memcpy(at->query_position, at->queries, batch->count * all * sizeof(float));
}

/* The token side takes milliseconds: others go in between. */
static void run_token_mlp(struct decoding *job, int layer, struct worker *worker) {
    worker_yield(worker);
    decoder_token_mlp(job, &job->decoder->layers[layer]);
    worker_yield(worker);
}

static void run_transformer(const struct point_job *points, struct worker *worker) {
    struct decoding *job = points->job;
    decoder_self_attention(job, &job->decoder->layers[0], true);
    point_prepare_first(points);
    point_first_pass(points, worker);
    point_finish_first(points);
    run_token_mlp(job, 0, worker);
    point_prepare_spreading(points);
    decoder_self_attention(job, &job->decoder->layers[1], false);
    point_prepare_second(points);
    point_second_pass(points, worker);
    point_finish_second(points);
    run_token_mlp(job, 1, worker);
    point_prepare_spreading_again(points);
    decoder_keep_candidates(job);
    point_prepare_last(points);
    point_last_pass(points, worker);
    point_finish_last(points);
}

void point_decoder_run(const struct mask_decoder *decoder, const struct point_terms *terms,
                       struct point_memory *memory, struct worker *worker,
                       const struct point_batch *batch, float iou[POINT_BATCH][SAM_MASK_TOKENS]) {
    memory->input = (struct mask_decoder_input){
        .candidates = CANDIDATES, .height = batch->height, .width = batch->width};
    memory->job = (struct decoding){
        .decoder = decoder,
        .kernels = decoder->kernels,
        .input = &memory->input,
        .at = &memory->tokens,
        .prompts = batch->count,
        .tokens = POINT_TOKENS,
    };
    begin(&memory->job, batch);
    run_transformer(&(struct point_job){&memory->job, terms, memory}, worker);
    for (size_t i = 0; i < batch->count; i++) {
        float predicted[KERNEL_CHANNEL_STEP];
        decoder_run_mlp(&memory->job, &decoder->iou_head,
                        memory->tokens.queries + i * LAST_TOKENS * SAM_DIM, predicted);
        memcpy(iou[i], predicted, sizeof iou[i]);
    }
}

const float *point_decoder_upscale(const struct point_terms *terms, struct point_memory *memory,
                                   struct worker *worker, size_t point, unsigned wanted) {
    const struct point_job points = {&memory->job, terms, memory};
    memory->job.wanted = wanted;
    memory->job.logits = memory->logits;
    decoder_run_hypernetworks(&memory->job, point);
    point_prepare_upscaling(&points, point);
    point_upscale(&points, point, worker);
    return memory->logits;
}
