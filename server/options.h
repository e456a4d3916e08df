/* options: what the daemon is told. Flags > MASKD_* environment > maskd.ini > defaults.
 *
 * Every option has one name: `max_body` in the file, MASKD_MAX_BODY, --max-body. options.c has the
 * one table. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "engine/engine.h"
#include "server/log.h"

enum { OPTION_TEXT_MAX = 1024 };

struct options {
    /* [server] */
    char host[OPTION_TEXT_MAX];
    long long port; /* 0: any free one */
    long long http_threads;
    long long max_connections;
    /* seconds */
    long long header_timeout, body_timeout, send_timeout, idle_timeout, drain_seconds;
    /* [security] */
    char api_keys[OPTION_TEXT_MAX]; /* the file; empty: nobody needs a key */
    bool allow_anonymous, open_metrics, trust_forwarded_for;
    long long rate_limit, rate_burst; /* requests a second, 0: any; requests at once */
    char cors_origins[OPTION_TEXT_MAX];
    char tls_certificate[OPTION_TEXT_MAX], tls_key[OPTION_TEXT_MAX]; /* files; both or none */
    /* [engine] */
    char model[OPTION_TEXT_MAX];
    long long workers; /* 0: as many as usable cores */
    enum precision precision;
    /* [lanes] */
    long long prompt_queue, upload_queue;
    long long prompt_deadline, upload_deadline; /* seconds */
    long long retry_after;                      /* seconds */
    /* [limits] */
    long long max_headers;   /* bytes of one request's, and of its answer's */
    long long max_body;      /* bytes of one request */
    long long upload_memory; /* bytes of all request bodies that are held at the same time */
    long long max_pixels, max_side;
    long long max_prompts;
    /* [fetch] */
    char fetch_hosts[OPTION_TEXT_MAX], fetch_base[OPTION_TEXT_MAX];
    char fetch_token_file[OPTION_TEXT_MAX]; /* each empty: none */
    long long fetch_timeout, fetch_connections;
    /* [store] */
    long long store_memory, refine_memory, everything_memory; /* bytes */
    /* [log] */
    enum log_format log_format;
    enum log_level log_level;
    bool access_log;

    /* flags that are not options */
    bool help, version, check_config;
    char config[OPTION_TEXT_MAX]; /* the file that was read; empty: none */
};

/* Reads everything and reports every fault to `faults`, one a line, with where it stands. Returns
 * the number of faults. */
int options_read(int argc, char **argv, struct options *options, FILE *faults);

/* The flags and what they mean, from the same table. */
void options_help(FILE *out);

/* The effective values, in the form of the configuration file. */
void options_print(const struct options *options, FILE *out);

#endif
