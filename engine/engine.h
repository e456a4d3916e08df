/* engine: pixels -> embedding; embedding + prompt -> masks. The one public header of this folder.
 *
 * No HTTP, no JSON of the wire, no printing, no exit. A model is immutable and shared by all
 * threads; a session is the scratch memory of one job at a time; nothing in engine/ has mutable
 * file-scope state.
 *
 * The maths is that of Segment Anything (Kirillov et al., 2023, arXiv:2304.02643;
 * github.com/facebookresearch/segment-anything) with the TinyViT encoder of MobileSAM (Zhang et
 * al., 2023, arXiv:2306.14289; github.com/ChaoningZhang/MobileSAM). */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/image/image.h"
#include "engine/mask.h"
#include "engine/parallel.h"
#include "engine/profile.h"
#include "engine/status.h"

/* ---- the model --------------------------------------------------------------------------- */

struct model;

/* Of the encoder's matrix products. Sums, norms, attention and the whole decoder are fp32 always.
 */
enum precision {
    PRECISION_FP32,
    PRECISION_BF16, /* bfloat16 products where the CPU has AVX-512-BF16, otherwise fp32 */
    PRECISION_AUTO, /* the same, for who does not mind */
};

struct model_info {
    char name[64];           /* of the file, without its ending: "mobile_sam" */
    char architecture[64];   /* "mobile_sam" */
    char weights_sha256[65]; /* of the tensor data, in hex; verified when the model was loaded */
    char licence[64];
    enum precision precision; /* in effect: never PRECISION_AUTO */
    size_t parameter_count;
    int input_size; /* the long side of an image is resampled to this: 1024 */
};

/* Maps a .safetensors file and checks every tensor's name, type, shape and place, and the data's
 * hash. The message names the tensor at fault. STATUS_IO, STATUS_UNSUPPORTED (not safetensors,
 * another architecture), STATUS_INVALID (damaged or incomplete), STATUS_NO_MEMORY. */
enum status model_load(const char *path, enum precision precision, struct model **model,
                       struct error *error);
void model_free(struct model *model); /* NULL is allowed */

const struct model_info *model_info(const struct model *model);

/* What a worker's tiles need: pool_options.scratch_bytes. */
size_t model_tile_scratch_bytes(const struct model *model);

/* The core that OpenBLAS chose kernels for ("Zen"), and our own kernels' instruction set ("avx2").
 */
const char *engine_blas_core(void);
const char *engine_kernel_isa(void);

/* To be called once by main(), before any worker exists: one BLAS thread a call, for the pool has
 * the threads. */
void engine_init(void);

/* ---- sessions ---------------------------------------------------------------------------- */

struct session;

/* Address space for one job's activations; pages are taken when they are touched. One job at a
 * time. */
enum status session_create(const struct model *model, struct session **session,
                           struct error *error);
void session_free(struct session *session); /* NULL is allowed */

/* How much memory goes back to the system: what an encode has touched, or all; what only prompts
 * have touched is less, and the next one finds it at hand. */
enum trim { TRIM_ENCODING, TRIM_ALL };

/* Not while a job uses the session. */
void session_trim(struct session *session, enum trim trim);

/* From now on each encode and each prompt of the session fills the profile anew; NULL: none. The
 * profile is the caller's and must outlive its use. */
void session_profile(struct session *session, struct profile *profile);

/* ---- image -> embedding ------------------------------------------------------------------ */

/* How an image lies in the encoder's square: ResizeLongestSide in utils/transforms.py. */
struct geometry {
    int width, height; /* the upright image's */
    int scaled_width,
        scaled_height; /* with the long side at input_size; the rest is padding, right and below */
};

void geometry_fit(int width, int height, int input_size, struct geometry *geometry);

enum { EMBEDDING_CHANNELS = 256, EMBEDDING_SIDE = 64 };
enum { EMBEDDING_VALUES = EMBEDDING_CHANNELS * EMBEDDING_SIDE * EMBEDDING_SIDE };

struct embedding {
    struct geometry geometry;
    uint16_t values[EMBEDDING_VALUES]; /* IEEE 754 binary16, [row][column][channel] */
};

enum embedding_type { EMBEDDING_FLOAT16, EMBEDDING_FLOAT32 };

/* The values in the layout of the original's code, [1][channel][row][column] (SamPredictor.features
 * in predictor.py; image_embeddings of the ONNX decoder): EMBEDDING_VALUES of this type, aligned to
 * it. Takes milliseconds. */
void embedding_write(const struct embedding *embedding, enum embedding_type type, void *planes);
/* The reverse; the geometry stays as it is. Floats are rounded to nearest even. False: a value is
 * not finite, or too large for binary16. */
bool embedding_read(struct embedding *embedding, enum embedding_type type, const void *planes);

/* Encodes an image that was resampled to the geometry's scaled size (image_resize). Fills
 * *embedding, geometry included. Call from a job of worker's pool. Cannot fail: all memory is the
 * session's and the caller's. */
void model_encode(const struct model *model, struct session *session, struct worker *worker,
                  const struct image *scaled, const struct geometry *geometry,
                  struct embedding *embedding);

/* ---- embedding + prompt -> masks --------------------------------------------------------- */

/* What no prompt changes about an image, unless it has a prior mask: worth making for three or more
 * of them. Immutable; prompts on different threads may share one. 6 MB. */
struct prepared;

/* Of an embedding, whose owner it does not outlive in meaning: it belongs to these values alone.
 * Call from a job of worker's pool. NULL when out of memory. */
struct prepared *model_prepare(const struct model *model, struct worker *worker,
                               const struct embedding *embedding);
void prepared_free(struct prepared *prepared); /* NULL is allowed */

enum { PROMPT_POINTS_MAX = 64 };

enum multimask {
    MULTIMASK_AUTO,   /* one mask, chosen as SAM's ONNX export chooses (utils/onnx.py, select_masks)
                       */
    MULTIMASK_ALL,    /* the three of the ambiguity-aware tokens, in the tokens' order */
    MULTIMASK_SINGLE, /* the single-mask token's */
    MULTIMASK_FIRST,  /* of the three, this one alone */
    MULTIMASK_SECOND,
    MULTIMASK_THIRD,
};

/* A mask's logits as the decoder gives them, of the whole square: SamPredictor's low_res_masks, and
 * its mask_input. */
enum { LOW_RES_SIDE = 4 * EMBEDDING_SIDE, LOW_RES_VALUES = LOW_RES_SIDE * LOW_RES_SIDE };

/* Coordinates are pixels of the upright image, x right, y down. At least one of points, box, mask
 * and logits. */
struct prompt {
    int point_count; /* 0 .. PROMPT_POINTS_MAX */
    float points[PROMPT_POINTS_MAX][2];
    uint8_t labels[PROMPT_POINTS_MAX]; /* 1 foreground, 0 background */
    bool has_box;
    float box[4];            /* x1, y1, x2, y2 */
    const struct mask *mask; /* a prior mask of the image's size, borrowed; or NULL */
    const float *logits; /* or a prior mask as [LOW_RES_SIDE][LOW_RES_SIDE], borrowed; or NULL */
    enum multimask multimask;
    bool keep_logits; /* for who will refine the mask; takes longer */
    float threshold;  /* a pixel belongs to the mask when its logit is above this; SAM's is 0 */
};

struct segment {
    struct mask mask;
    size_t area; /* pixels */
    int bbox[4]; /* x, y, width, height of the pixels set, as COCO's toBbox; zeros when there are
                    none */
    float predicted_iou;   /* the IoU head's */
    float stability_score; /* utils/amg.py, calculate_stability_score, offset 1; 0 for an empty mask
                            */
    enum multimask token;  /* that gives this mask alone */
    float *logits; /* [LOW_RES_SIDE][LOW_RES_SIDE], owned; NULL unless the prompt keeps them */
};

struct segmentation {
    int count; /* 1 or 3 */
    struct segment segments[3];
};

/* Decodes one prompt; prepared is of this embedding, or NULL. On STATUS_OK the caller owns
 * *segmentation (segmentation_free). Call from a job of worker's pool. STATUS_INVALID: a prompt
 * without content, a mask of another size, mask and logits. STATUS_NO_MEMORY. */
enum status model_segment(const struct model *model, struct session *session, struct worker *worker,
                          const struct embedding *embedding, const struct prepared *prepared,
                          const struct prompt *prompt, struct segmentation *segmentation,
                          struct error *error);
void segmentation_free(struct segmentation *segmentation);

/* What is done to masks after decoding, as SamAutomaticMaskGenerator's postprocess_small_regions
 * does: first the holes, then the islands. */
struct cleaning {
    size_t min_area; /* islands of fewer pixels go, but the largest stays; 0: all stay */
    bool fill_holes; /* those of fewer than min_area pixels; when it is 0, all that are enclosed */
};

/* Area and bbox become those of the cleaned masks; the scores stay the model's. On failure the
 * segmentation is still good, if not all cleaned. STATUS_NO_MEMORY. */
enum status segmentation_clean(struct segmentation *segmentation, const struct cleaning *cleaning,
                               struct error *error);

/* ---- embedding -> all masks -------------------------------------------------------------- */

/* SamAutomaticMaskGenerator's parameters by its names (automatic_mask_generator.py of Segment
 * Anything). */
struct everything_options {
    int points_per_side;
    float pred_iou_thresh, stability_score_thresh, stability_score_offset, box_nms_thresh;
    int crop_n_layers;
    float crop_nms_thresh;
    double crop_overlap_ratio; /* a float more or less moves crops by a pixel */
    int crop_n_points_downscale_factor;
    int min_mask_region_area;
};

/* The original's defaults. */
extern const struct everything_options EVERYTHING_DEFAULTS;

/* Thresholds and ratios are 0 .. 1, the offset is not negative, counts and areas at least 0, sides
 * and factors at least 1. */
enum {
    EVERYTHING_SIDE_MAX = 128, /* points_per_side */
    EVERYTHING_LAYERS_MAX = 3, /* crop_n_layers */
    EVERYTHING_POINTS_MAX = 65536,
};

/* What model_everything says of options and of whether there are pixels, at once. */
enum status everything_check(const struct everything_options *options, bool pixels,
                             struct error *error);

/* That will be tried, of options that were checked. */
size_t everything_points(const struct everything_options *options);

struct everything_mask {
    struct segment segment;
    float point[2];  /* point_coords: the prompt that it came from */
    int crop_box[4]; /* x, y, width, height of the crop that it was found in */
};

struct everything {
    size_t count;
    struct everything_mask *masks; /* owned: everything_free */
};

/* Memory of the masks, in bytes. */
size_t everything_bytes(const struct everything *everything);

/* What is told to whoever waits, from any worker's thread, one call at a time; and what a run may
 * take. */
struct everything_progress {
    void (*report)(void *argument, size_t done, size_t total); /* points; NULL: nobody asks */
    bool (*cancelled)(void *argument); /* NULL: never; after true nothing is told any more */
    void *argument;
    size_t bytes_limit; /* of masks, until duplicates are dropped; 0: any */
};

/* All masks of an image, by a grid of points: those of smaller crops first if there are crops,
 * otherwise by falling predicted IoU. Masks without a pixel are left out. pixels is the upright
 * image, for the crops of crop_n_layers > 0; may be NULL otherwise. On STATUS_OK the caller owns
 * *everything. Call from a bulk job of worker's pool: prompts of others go in between.
 * STATUS_INVALID: options out of range, crops without pixels; or it was cancelled.
 * STATUS_TOO_LARGE: more masks than bytes_limit. STATUS_NO_MEMORY. */
enum status model_everything(const struct model *model, struct worker *worker,
                             const struct embedding *embedding, const struct image *pixels,
                             const struct everything_options *options,
                             const struct everything_progress *progress,
                             struct everything *everything, struct error *error);
void everything_free(struct everything *everything); /* zeroes it */

#endif
