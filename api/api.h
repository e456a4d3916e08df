/* api: what goes over the wire <-> plain structs. The one public header of this folder.
 *
 * JSON is read strictly (UTF-8, one value, no duplicate or unknown member, numbers finite) and
 * every fault of a request is found at once, each with its JSON Pointer (RFC 6901). Nothing here
 * knows a socket or runs a model. */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

/* ---- problems (RFC 9457) ----------------------------------------------------------------- */

enum problem_type {
    PROBLEM_NONE,
    PROBLEM_BAD_REQUEST,           /* 400 /problems/bad-request: cannot be parsed */
    PROBLEM_UNAUTHORIZED,          /* 401 /problems/unauthorized: no key, or none of ours */
    PROBLEM_UNKNOWN_IMAGE,         /* 404 /problems/unknown-image: "upload it again" */
    PROBLEM_UNKNOWN_RUN,           /* 404 /problems/unknown-run: of everything mode */
    PROBLEM_UNKNOWN_ROUTE,         /* 404 /problems/unknown-route */
    PROBLEM_METHOD_NOT_ALLOWED,    /* 405 /problems/method-not-allowed */
    PROBLEM_ID_CONFLICT,           /* 409 /problems/id-conflict */
    PROBLEM_MODEL_MISMATCH,        /* 409 /problems/model-mismatch: an embedding made by another */
    PROBLEM_LENGTH_REQUIRED,       /* 411 /problems/length-required */
    PROBLEM_PRECONDITION_FAILED,   /* 412 /problems/precondition-failed: If-Match, If-None-Match */
    PROBLEM_TOO_LARGE,             /* 413 /problems/too-large: names the limit */
    PROBLEM_UNSUPPORTED_IMAGE,     /* 415 /problems/unsupported-image */
    PROBLEM_UNSUPPORTED_EMBEDDING, /* 415 /problems/unsupported-embedding: not safetensors */
    PROBLEM_INVALID_IMAGE,         /* 422 /problems/invalid-image: its pixels exceed the limit */
    PROBLEM_INVALID_EMBEDDING,     /* 422 /problems/invalid-embedding: its tensor or metadata */
    PROBLEM_INVALID_PROMPT,        /* 422 /problems/invalid-prompt */
    PROBLEM_INVALID_REQUEST,   /* 422 /problems/invalid-request: any other member or parameter */
    PROBLEM_TOO_MANY_REQUESTS, /* 429 /problems/too-many-requests: over the client's rate */
    PROBLEM_INTERNAL,          /* 500 /problems/internal: out of memory and the like */
    PROBLEM_NOT_INSTALLED,     /* 501 /problems/not-installed: a model; tells the command for it */
    PROBLEM_NOT_IMPLEMENTED,   /* 501 /problems/not-implemented: not in this version */
    PROBLEM_FETCH_FAILED, /* 502 /problems/fetch-failed: an image that is told by its address */
    PROBLEM_OVERLOADED,   /* 503 /problems/overloaded: a lane or the upload memory is full */
    PROBLEM_DEADLINE,     /* 503 /problems/deadline: waited in a lane for too long */
    PROBLEM_DRAINING,     /* 503 /problems/draining: the daemon is stopping */
    PROBLEM_TYPE_COUNT,
};

struct problem_fault {
    char pointer[96]; /* JSON Pointer into the request, "" for the whole; a query's "?name" */
    char detail[160];
};

enum { PROBLEM_FAULTS_MAX = 32 };

/* Zero-initialised means "no problem". Plain data: copied freely, nothing to release. */
struct problem {
    enum problem_type type;
    char detail[256];
    size_t fault_count; /* all that were found; only the first PROBLEM_FAULTS_MAX are kept */
    struct problem_fault faults[PROBLEM_FAULTS_MAX];
};

/* Sets type and detail, unless there is a problem already: the first cause is the one to tell. */
void problem_set(struct problem *problem, enum problem_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds one fault; sets the type when there was none. The pointer is kept as given (the caller
 * escapes). What does not fit is cut between two code points, and ends in an ellipsis. */
void problem_add(struct problem *problem, enum problem_type type, const char *pointer,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));
int problem_status(enum problem_type type);
/* The problem+json document; malloc'd, NULL when out of memory. */
char *problem_json(const struct problem *problem);

/* ---- image IDs --------------------------------------------------------------------------- */

enum { IMAGE_ID_MAX = 128 };

#define IMAGE_ID_PATTERN "[A-Za-z0-9][A-Za-z0-9._-]{0,127}"

/* Whether it has this pattern. */
bool image_id_valid(const char *id);

enum { DIGEST_BYTES = 32 }; /* SHA-256, of an image's uploaded bytes */

/* ---- mask IDs ---------------------------------------------------------------------------- */

#define MASK_ID_PATTERN "m_[0-9a-f]{16}"

struct mask_id {
    char text[sizeof "m_" + 16]; /* zero-terminated; empty: none */
};

/* ---- requests ---------------------------------------------------------------------------- */

enum mask_format {
    FORMAT_COCO_RLE,
    FORMAT_COCO_RLE_UNCOMPRESSED,
    FORMAT_POLYGON,
    FORMAT_POLYGON_HOLES,
    FORMAT_PNG,
    FORMAT_LABELSTUDIO_RLE,
    FORMAT_CVAT_RLE,
    FORMAT_COUNT,
};

/* One prompt of a request, with what is needed to answer it. */
struct prompt_item {
    struct prompt prompt;  /* prompt.mask points to prior below when one was given */
    struct mask prior;     /* owned */
    struct mask_id refine; /* the mask whose logits the caller is to find, for prompt.logits */
    struct cleaning cleaning;
    enum mask_format format;
    double simplify; /* of polygons: a tolerance in pixels */
};

struct prompt_list {
    size_t count;
    struct prompt_item *items;
    bool numbered; /* "prompts" or "boxes": the pointers into the first begin with /prompts/0 */
};

struct prompt_limits {
    int width, height;  /* of the image: points and boxes must lie inside */
    size_t max_prompts; /* of one request */
};

/* Parses the body of a segment request: one prompt, {"prompts":[...]}, or {"boxes":[...]}; a format
 * at the top holds for prompts that name none. False: *problem tells all faults and *list is
 * zeroed. Besides 400 and 422 there is 413 (too many JSON values) and 501 (a member that is right,
 * but not in this version; only when nothing is wrong). */
bool prompt_list_parse(const char *json, size_t size, const struct prompt_limits *limits,
                       struct prompt_list *list, struct problem *problem);
void prompt_list_free(struct prompt_list *list); /* zeroes it */

/* A request for all masks of an image. */
struct everything_request {
    struct everything_options options;
    enum mask_format format;
    double simplify; /* of polygons: a tolerance in pixels */
};

/* Nothing at all means the defaults. False: *problem tells all faults. */
bool everything_request_parse(const char *json, size_t size, struct everything_request *request,
                              struct problem *problem);
/* The same of a query's parameters for a look at a run; each may be NULL. */
bool everything_query_parse(const char *format, const char *simplify,
                            struct everything_request *request, struct problem *problem);

/* An upload that is more than the image's bytes: {"image": base64 or data URI, "id": ..., "model":
 * ...} in JSON, or the parts file, id, model and prompt of a form. */
struct upload {
    uint8_t *bytes; /* owned; malloc'd */
    size_t size;
    char id[IMAGE_ID_MAX + 1]; /* empty: none given */
    char model[64];            /* empty: none given */
    char *prompt_json;         /* owned; a zero-terminated JSON text; or NULL */
};

/* In JSON. with_prompt (POST /v1/segment): members that are not the upload's own belong to the
 * prompt, and prompt_json becomes an object of them, possibly empty, for prompt_list_parse.
 * Otherwise they are faults. False: *problem tells all faults and *upload is zeroed. */
bool upload_parse(const char *json, size_t size, bool with_prompt, struct upload *upload,
                  struct problem *problem);

/* As multipart/form-data. with_prompt: the part prompt must be there, otherwise it must not. The
 * body is malloc'd and becomes the upload's, or is freed. */
bool upload_parse_multipart(const char *content_type, uint8_t *body, size_t size, bool with_prompt,
                            struct upload *upload, struct problem *problem);
void upload_free(struct upload *upload); /* zeroes it */

/* ---- answers ----------------------------------------------------------------------------- */

/* All of these give a malloc'd, zero-terminated JSON document, or NULL when out of memory. Numbers
 * that JSON cannot say (NaN, infinity) become 0. */

struct timing {
    double queue_ms, decode_ms, encode_ms, segment_ms; /* negative: not part of this answer */
};

enum image_status { IMAGE_ENCODING, IMAGE_READY, IMAGE_FAILED };

struct image_answer {
    const char *id, *model;
    int width, height;
    enum image_status status;
    bool cached;
    const struct timing *timing;   /* NULL: no timing_ms member */
    const struct problem *problem; /* of IMAGE_FAILED; otherwise NULL */
};

char *image_answer_json(const struct image_answer *answer);
/* {"images":[...],"next":cursor or null}; next may be NULL. */
char *image_list_json(const struct image_answer *images, size_t count, const char *next);

struct segment_answer {
    const char *image_id, *model;
    int width, height;
    const struct prompt_list *prompts;
    const struct segmentation *results; /* one for each prompt, in order */
    const struct mask_id (*ids)[3];     /* of each result's masks */
    const struct timing *timing;
};

char *segment_answer_json(const struct segment_answer *answer);

/* One run of everything mode. */
struct everything_answer {
    const char *image_id, *model;
    int width, height;
    const struct everything_options *options;
    /* It is ready, or it has failed, or it is running: */
    const struct everything *masks; /* or NULL, and then */
    const struct problem *problem;  /* or NULL, and then */
    size_t done, total;             /* points */
    /* Of one that is ready: */
    bool cached; /* the run was there already */
    enum mask_format format;
    double simplify;
    const struct timing *timing;     /* NULL: no timing_ms member */
    const struct image_yield *yield; /* called between masks; or NULL */
};

char *everything_answer_json(const struct everything_answer *answer);

struct model_answer {
    const struct model_info *info;
    bool is_default;
};

char *model_list_json(const struct model_answer *models, size_t count);

/* ---- the web page ------------------------------------------------------------------------ */

struct page_file {
    const char *content_type;
    const char *bytes; /* of the program's own life */
    size_t size;
};

/* The file of page/ that is served at a path; "/" is index.html. False: none is. */
bool page_file_find(const char *path, struct page_file *file);

/* ---- embeddings as files ----------------------------------------------------------------- */

/* Which image an embedding is of. */
struct embedding_source {
    char image_id[IMAGE_ID_MAX + 1];
    uint8_t digest[DIGEST_BYTES];
};

/* A safetensors file: the tensor "image_embeddings", [1, 256, 64, 64], and with it, as metadata,
 * everything that is needed to prompt it: format ("maskd-embedding-1"), model, architecture,
 * weights_sha256, input_size, image_id, image_sha256, width, height, scaled_width, scaled_height,
 * and data_sha256. malloc'd; NULL when out of memory. Takes milliseconds, as all of these do. */
uint8_t *embedding_safetensors(const struct embedding *embedding,
                               const struct embedding_source *source,
                               const struct model_info *model, enum embedding_type type,
                               size_t *size);

/* NumPy's .npy (numpy/lib/format.py, version 1.0): the tensor alone. malloc'd, NULL when out of
 * memory. */
uint8_t *embedding_npy(const struct embedding *embedding, enum embedding_type type, size_t *size);

/* Reads what embedding_safetensors makes, of either type; data_sha256 may be left out. bytes must
 * be aligned as malloc aligns. The image must be within the limits. False: *problem tells all
 * faults of the header, or that another model than this one made it, or a fault of the values; the
 * rest is undefined. */
bool embedding_parse(const uint8_t *bytes, size_t size, const struct model_info *model,
                     const struct image_limits *limits, struct embedding_source *source,
                     struct embedding *embedding, struct problem *problem);

/* ---- masks in the formats of others: docs/formats.md ------------------------------------- */

const char *mask_format_name(enum mask_format format);

/* The value of "segmentation"; malloc'd JSON, NULL when out of memory. simplify is for polygons. */
char *segmentation_json(const struct mask *mask, enum mask_format format, double simplify);

/* COCO's compressed RLE (cocoapi, common/maskApi.c: rleToString, rleFrString): malloc'd, NULL when
 * out of memory. */
char *coco_rle_encode(const struct mask *mask);

/* A PNG of the mask's size, 1 bit a pixel, white where it is set: malloc'd, NULL when out of
 * memory. */
char *mask_png_encode(const struct mask *mask, size_t *size);

/* The decoders. On STATUS_OK the caller owns *mask, in which only the first run may be zero;
 * otherwise it is zeroed. STATUS_INVALID: not a mask of height x width, and the message says why.
 * STATUS_TOO_LARGE: more than MASK_RUNS_MAX runs, where they are not those of the input.
 * STATUS_NO_MEMORY. */
enum { MASK_RUNS_MAX = 1 << 22 };

/* counts need not be zero-terminated. */
enum status coco_rle_decode(const char *counts, size_t size, int height, int width,
                            struct mask *mask, struct error *error);
/* What @thi.ng/rle-pack and label-studio-converter's brush.py write: four channels of 8 bits, of
 * which the last one, alpha, says whether a pixel is set. */
enum status labelstudio_rle_decode(const uint8_t *bytes, size_t size, int height, int width,
                                   struct mask *mask, struct error *error);
/* Runs in rows within a box, then the box: left, top, right, bottom, inclusive. */
enum status cvat_rle_decode(const uint32_t *values, size_t count, int height, int width,
                            struct mask *mask, struct error *error);
/* A PNG file of any colour type, of this size and not interlaced: what is not black is set. */
enum status mask_png_decode(const uint8_t *bytes, size_t size, int height, int width,
                            struct mask *mask, struct error *error);

#endif
