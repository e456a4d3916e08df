/* fetch_rules: which addresses maskd may fetch images from, and with what. Nothing here connects.
 */
#ifndef SERVER_FETCH_RULES_H
#define SERVER_FETCH_RULES_H

#include <curl/curl.h>

#include "api/api.h"

struct fetch_rules;

/* hosts: "name" or "name:port", with spaces or commas between. base: "" or an http(s) address; its
 * host is allowed too, and the only one that gets the token of token_file ("": none). On failure
 * the message names the option at fault. */
enum status fetch_rules_create(const char *hosts, const char *base, const char *token_file,
                               struct fetch_rules **rules, struct error *error);
void fetch_rules_free(struct fetch_rules *rules); /* NULL is allowed */

/* An address of a host that is allowed, relative ones resolved against the base; the caller's
 * (curl_url_cleanup). It is what is connected to: nobody else reads the text again. *authorization
 * is the header for this host, the rules'; or NULL. NULL: *problem says why. */
CURLU *fetch_rules_resolve(const struct fetch_rules *rules, const char *text,
                           const char **authorization, struct problem *problem);

/* The address's "name:port", for a log. */
void fetch_rules_host(CURLU *address, char *out, size_t size);

#endif
