/* request: one HTTP request from its headers to its answer.
 *
 * It belongs to a polling thread of libmicrohttpd, except between request_suspend and
 * request_answer: then it belongs to the job that it was given to. */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microhttpd.h>

#include "api/api.h"
#include "server/connections.h"
#include "server/server.h"

struct request;

struct route {
    const char *method;
    const char *path; /* "{id}" stands for one segment, an image ID */
    void (*handle)(struct request *request);
    const char *query; /* the parameters that it takes, each with a space before and after */
};

/* A growing piece of a request's body. */
struct part {
    uint8_t *bytes; /* owned; malloc'd */
    size_t size;
    size_t capacity; /* counted in server->body_bytes */
};

enum part_name { PART_BODY, PART_FILE, PART_ID, PART_MODEL, PART_PROMPT, PART_COUNT };

enum { REQUEST_ID_MAX = 128 };

struct request {
    struct server *server;
    struct MHD_Connection *connection;
    struct connection *peer; /* for its deadline; or NULL */
    const struct route *route;
    const char *method;              /* libmicrohttpd's, valid as long as the request */
    char *path;                      /* owned */
    char image_id[IMAGE_ID_MAX + 1]; /* the "{id}" of the path */
    char id[REQUEST_ID_MAX + 1];     /* X-Request-Id */
    int64_t started_ns;

    struct MHD_PostProcessor *multipart; /* while a multipart body arrives */
    struct part parts[PART_COUNT];       /* PART_BODY: a body that is not multipart */
    size_t received;
    bool complete;           /* the body is there, the handler was called */
    struct problem *refusal; /* why the body is only read to be thrown away; owned */

    int status; /* of the answer */
    struct MHD_Response *response;
    bool suspended;
};

/* ---- for the handlers -------------------------------------------------------------------- */

/* The value of a query parameter, or NULL. */
const char *request_query(struct request *request, const char *name);

/* Call before the request is given to a job. */
void request_suspend(struct request *request);

struct answer {
    int status;
    char *body;                  /* malloc'd, owned by request_answer; NULL: none */
    const struct timing *timing; /* for Server-Timing; or NULL */
    const char *location;        /* or NULL */
};

/* Answers; resumes the request if it was suspended. From any thread, once. The request is no longer
 * the caller's afterwards. A NULL body with a status that needs one is taken as out of memory. */
void request_answer(struct request *request, const struct answer *answer);
void request_refuse(struct request *request, const struct problem *problem);
void request_refuse_with(struct request *request, enum problem_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* 404 for the "{id}" of the path. */
void request_refuse_unknown_image(struct request *request);

/* Gives the bytes of a part to the caller, who frees them and then calls request_body_release. */
struct part request_take_part(struct request *request, enum part_name name);
/* The memory of a part is no longer held. */
void request_body_release(struct server *server, size_t capacity);

/* ---- for http.c -------------------------------------------------------------------------- */

/* After the headers. NULL when out of memory: drop the connection. */
struct request *request_begin(struct server *server, struct MHD_Connection *connection,
                              const char *path, const char *method, const char *version);
/* A piece of the body. */
void request_receive(struct request *request, const char *data, size_t size);
/* The body is complete: calls the handler, or answers what is wrong. */
void request_handle(struct request *request);
/* Whether to answer right after the headers, and not read the body. */
bool request_refused_early(struct request *request);
void request_free(struct request *request);

/* The route of a method and path. When there is none, *allow is the methods that the path takes, or
 * "" when it takes none. id is set to the "{id}" of the path. */
const struct route *routes_find(const char *method, const char *path, char id[IMAGE_ID_MAX + 1],
                                char allow[64]);

#endif
