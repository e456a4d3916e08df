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
#include "server/caller.h"
#include "server/connections.h"
#include "server/keys.h"
#include "server/server.h"

struct request;

enum { ROUTE_PARAMETERS_MAX = 4, REQUEST_ID_MAX = 128 };

/* Who may come in, when there are api_keys. */
enum access {
    FOR_KEYS,    /* whoever has a key */
    FOR_ALL,     /* everybody: there is no data in it */
    FOR_PROBES,  /* everybody, at any rate */
    FOR_METRICS, /* whoever has a key, or everybody with open_metrics; at any rate */
};

struct route {
    const char *method;
    const char *path; /* "{id}" stands for one segment, an image ID */
    void (*handle)(struct request *request);
    /* Adds the faults of the query's values; NULL when it takes no parameters. */
    void (*check_query)(struct request *request, struct problem *problem);
    /* That the query may have; "*": any; and in "api_key" may be a key. */
    const char *parameters[ROUTE_PARAMETERS_MAX];
    enum access access;
};

struct body {
    uint8_t *bytes; /* owned; malloc'd; a zero follows them */
    size_t size;
    size_t capacity; /* counted in server->body_bytes */
};

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
    struct caller caller;
    char key_label[KEY_LABEL_MAX + 1]; /* of the key that came with it; or "" */

    struct body body;
    size_t received;        /* bytes of the body, also of one that is thrown away */
    bool complete;          /* the body is there, the handler was called */
    bool unframed;          /* where the body ends is not certain: nothing may follow it */
    struct problem refusal; /* why the body is only read to be thrown away; or none */
    int64_t retry_after;    /* seconds, when the refusal is for the rate */

    int status;  /* of the answer */
    size_t sent; /* bytes of its body */
    struct MHD_Response *response;
    bool suspended;
};

/* ---- for the handlers -------------------------------------------------------------------- */

/* The value of a query parameter, or of a header; or NULL. */
const char *request_query(struct request *request, const char *name);
const char *request_header(struct request *request, const char *name);

/* Whether accepts says so of the header in any of the lines that it may be spread over. */
bool request_header_any(struct request *request, const char *name,
                        bool (*accepts)(const char *line, const void *argument),
                        const void *argument);

/* Call before the request is given to a job. */
void request_suspend(struct request *request);

struct header {
    const char *name, *value; /* a NULL value: not this one */
};

enum { ANSWER_HEADERS_MAX = 8 };

struct answer {
    int status;
    char *body;                  /* malloc'd, owned by request_answer; NULL: none */
    const char *fixed;           /* instead of body: of the program's own life, such as the page */
    size_t size;                 /* of either; 0: it is zero-terminated text */
    const char *content_type;    /* NULL: application/json */
    const struct timing *timing; /* for Server-Timing; or NULL */
    struct header headers[ANSWER_HEADERS_MAX]; /* the others; up to the first without a name */
    char made_value[32]; /* for a header's value that is made for this answer */
};

/* Answers; resumes the request if it was suspended. From any thread, once. The request is no longer
 * the caller's afterwards. A NULL body with a status that needs one is taken as out of memory. */
void request_answer(struct request *request, const struct answer *answer);
void request_refuse(struct request *request, const struct problem *problem);
void request_refuse_with(struct request *request, enum problem_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* 404 for the "{id}" of the path. */
void request_refuse_unknown_image(struct request *request);

/* Counts so many bytes more as held for the request until it ends. False: others leave no room for
 * them in upload_memory. */
bool request_reserve(struct request *request, size_t bytes);

/* Gives the body to the caller, who calls body_free. */
struct body request_take_body(struct request *request);
void body_free(struct server *server, struct body *body); /* zeroes it */
/* size: with what is there max_body at most. False: upload_memory is full, or the system's. */
bool body_append(struct server *server, struct body *body, const char *data, size_t size);
/* The bytes of a body that is not empty, the caller's to free, in no more memory than they need and
 * no longer counted. Zeroes the body. */
uint8_t *body_detach(struct server *server, struct body *body);

/* ---- for http.c -------------------------------------------------------------------------- */

/* After the headers. NULL when out of memory: drop the connection. */
struct request *request_begin(struct server *server, struct MHD_Connection *connection,
                              const char *path, const char *method, const char *version);
/* A piece of the body. False: enough was thrown away; drop the connection. */
bool request_receive(struct request *request, const char *data, size_t size);
/* The body is complete: calls the handler, or answers what is wrong. */
void request_handle(struct request *request);
/* Whether to answer right after the headers, and not read the body. */
bool request_refused_early(struct request *request);
void request_free(struct request *request);

enum { ALLOW_MAX = 64 };

/* The route of a method and path. When there is none, or the method is OPTIONS, *allow is the
 * methods that the path takes, or "" when it takes none. id is set to the "{id}" of the path. */
const struct route *routes_find(const char *method, const char *path, char id[IMAGE_ID_MAX + 1],
                                char allow[ALLOW_MAX]);

#endif
