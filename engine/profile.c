#include "engine/profile.h"

#include "engine/parallel.h"

void profile_begin(struct profile *profile) {
    if (!profile)
        return;
    profile->count = 0;
    profile->begun_ns = clock_now_ns();
}

void profile_end_stage(struct profile *profile, const char *name, double macs) {
    if (!profile || profile->count == PROFILE_STAGES_MAX)
        return;
    int64_t now = clock_now_ns();
    profile->stages[profile->count++] = (struct profile_stage){name, macs, now - profile->begun_ns};
    profile->begun_ns = now;
}
