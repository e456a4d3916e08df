/* answer: what the writers of answers share. Internal to api/. */
#ifndef API_ANSWER_H
#define API_ANSWER_H

#include "api/api.h"
#include "api/text.h"

/* "name":"value" */
void write_member(struct text *text, const char *name, const char *value);

/* ,"timing_ms":{...}; nothing when there is no timing. */
void write_timing(struct text *text, const struct timing *timing);

/* ,"problem":{...} */
void write_problem(struct text *text, const struct problem *problem);

/* The box, the area, and how good the mask is. */
void write_measures(struct text *text, const struct segment *segment);

#endif
