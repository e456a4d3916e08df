#include "server/decode.h"

#include "server/clock.h"

/* What it is decoded with. */
struct means {
    const struct model *model;
    struct worker *worker;
    struct session *session;
    const struct embedding *embedding;
    const struct prepared *prepared; /* or NULL */
};

static enum status decode(const struct means *means, const struct prompt *prompt,
                          struct segmentation *result, struct error *error) {
    return model_segment(means->model, means->session, means->worker, means->embedding,
                         means->prepared, prompt, result, error);
}

/* Those that are remembered, or made now. */
static enum status find_logits(const struct means *means, struct refinements *refinements,
                               struct refinement *refined, const float **logits,
                               struct error *error) {
    struct segmentation again;
    *logits = refinements_logits(refinements, refined);
    if (*logits)
        return STATUS_OK;
    enum status status = decode(means, refinement_prompt(refined), &again, error);
    if (status != STATUS_OK)
        return status;
    *logits = refinements_set_logits(refinements, refined, again.segments[0].logits);
    again.segments[0].logits = NULL;
    segmentation_free(&again);
    return STATUS_OK;
}

static enum status remember(const struct decoding *decoding, const struct prompt *prompt,
                            struct segmentation *result, struct mask_id ids[3],
                            struct error *error) {
    for (int i = 0; i < result->count; i++)
        if (!refinements_add(decoding->server->refinements, decoding->record, prompt,
                             &result->segments[i], &ids[i]))
            return error_set(error, STATUS_IO, "no random numbers for a mask's ID");
    return STATUS_OK;
}

static enum status run(const struct decoding *decoding, const struct means *means,
                       struct segmentation *result, struct mask_id ids[3], struct error *error) {
    struct prompt prompt = *decoding->prompt;
    enum status status = STATUS_OK;
    if (decoding->refined)
        status = find_logits(means, decoding->server->refinements, decoding->refined,
                             &prompt.logits, error);
    prompt.keep_logits = prompt.mask || prompt.logits; /* they could not be made again */
    if (status == STATUS_OK)
        status = decode(means, &prompt, result, error);
    if (status == STATUS_OK)
        status = remember(decoding, &prompt, result, ids, error);
    return status;
}

enum status decode_prompt(const struct decoding *decoding, struct worker *worker,
                          struct segmentation *result, struct mask_id ids[3], struct error *error) {
    struct server *server = decoding->server;
    struct session *session = sessions_take(server->sessions);
    if (!session)
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    struct preparation preparation =
        preparations_take(server->preparations, worker, decoding->record, decoding->to_come);
    const struct means means = {.model = server->model,
                                .worker = worker,
                                .session = session,
                                .embedding = &decoding->record->embedding,
                                .prepared = preparation.prepared};
    const int64_t start = clock_now_ns();
    enum status status = run(decoding, &means, result, ids, error);
    metrics_measure(server->metrics, DURATION_SEGMENT, milliseconds_since(start));
    preparations_give(server->preparations, preparation);
    sessions_give(server->sessions, session);
    return status;
}
