/* clock: times of the server, on clock_now_ns(). */
#ifndef SERVER_CLOCK_H
#define SERVER_CLOCK_H

#include "engine/engine.h"

static inline double milliseconds_since(int64_t start_ns) {
    return (double)(clock_now_ns() - start_ns) * 1e-6;
}

static inline int64_t seconds_from_now(long long seconds) {
    return clock_now_ns() + (int64_t)seconds * 1000000000;
}

#endif
