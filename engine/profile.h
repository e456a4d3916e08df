/* profile: where the time of one encode or prompt goes, stage by stage; for benchmarks.
 *
 * A session without a profile records nothing. The stages follow each other: each ends where the
 * next begins. */
#ifndef ENGINE_PROFILE_H
#define ENGINE_PROFILE_H

#include <stddef.h>
#include <stdint.h>

enum { PROFILE_STAGES_MAX = 40 };

struct profile {
    size_t count;
    int64_t begun_ns; /* of the stage that runs */
    struct profile_stage {
        const char *name; /* static; as in the original PyTorch modules where there is one */
        double macs;      /* multiply-adds that the stage's mathematics asks for, unpadded */
        int64_t ns;
    } stages[PROFILE_STAGES_MAX];
};

/* Forgets all stages; the first one begins now. NULL is allowed, here and below. */
void profile_begin(struct profile *profile);

/* The stage that began when the last one ended is over. */
void profile_end_stage(struct profile *profile, const char *name, double macs);

#endif
