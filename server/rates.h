/* rates: how often each client may come. A token bucket for each, in bounded memory.
 *
 * A bucket is kept as the time at which it will be full again (the generic cell rate algorithm,
 * ITU-T I.371): a client whose bucket is full is the same as one that is not known, so that its
 * place is free. */
#ifndef SERVER_RATES_H
#define SERVER_RATES_H

#include <stdbool.h>
#include <stdint.h>

struct rates;

/* Of so many a second in the long run, and so many at once; both at least 1. NULL when out of
 * memory. */
struct rates *rates_create(long long per_second, long long burst);
void rates_free(struct rates *rates); /* NULL is allowed */

/* One more of this client's, at this time (clock_now_ns). 0: it is within the rate; otherwise it
 * does not count, and the next one will, after so many nanoseconds. From any thread. */
int64_t rates_take(struct rates *rates, const uint8_t client[16], int64_t now_ns);

#endif
