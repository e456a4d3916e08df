/* server: what all requests share. Made by main(), which also takes it down. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "server/catalogue.h"
#include "server/keys.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/preparations.h"
#include "server/rates.h"
#include "server/refinements.h"
#include "server/runs.h"
#include "server/sessions.h"
#include "server/store.h"

struct fetcher;
struct http;
struct sources;

struct server {
    const struct options *options;
    struct model *model;
    struct pool *pool;
    struct sessions *sessions;
    struct preparations *preparations;
    struct refinements *refinements;
    struct runs *runs;
    struct store *store;
    struct catalogue *catalogue;
    struct keys *keys;   /* NULL: nobody needs one */
    struct rates *rates; /* NULL: as often as they like */
    struct metrics *metrics;
    struct fetcher *fetcher; /* NULL: nothing is fetched by address */
    struct sources *sources;
    struct http *http;
    atomic_bool draining; /* SIGTERM came: no new work */
    atomic_size_t connections_open;
    atomic_size_t requests_open; /* from their headers until their answer is sent */
    atomic_size_t answers_open;  /* of these, the ones whose answer is there to be sent */
    atomic_size_t list_prompts;  /* of requests with many prompts, until they are answered */
    atomic_size_t body_bytes;    /* held for request bodies; options->upload_memory at most */
};

#endif
