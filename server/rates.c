#include "server/rates.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* 16384 clients at the same time, in 384 KB. */
enum { SETS = 2048, WAYS = 8 };

struct bucket {
    uint8_t client[16];
    int64_t full_ns; /* when it will be full again; past: it is */
};

struct rates {
    int64_t token_ns; /* between two tokens */
    int64_t burst_ns; /* for an empty bucket to fill */
    uint64_t seed;    /* so that nobody can choose addresses that crowd out others */
    pthread_mutex_t mutex;
    struct bucket sets[SETS][WAYS];
};

struct rates *rates_create(long long per_second, long long burst) {
    struct rates *rates = calloc(1, sizeof *rates);
    if (!rates)
        return NULL;
    rates->token_ns = 1000000000 / per_second;
    rates->burst_ns = rates->token_ns * burst;
    if (getrandom(&rates->seed, sizeof rates->seed, GRND_NONBLOCK) != sizeof rates->seed)
        rates->seed = (uint64_t)(uintptr_t)rates;
    pthread_mutex_init(&rates->mutex, NULL);
    return rates;
}

void rates_free(struct rates *rates) {
    if (!rates)
        return;
    pthread_mutex_destroy(&rates->mutex);
    free(rates);
}

/* The finaliser of MurmurHash3 (Austin Appleby), over both halves. */
static size_t set_of(const struct rates *rates, const uint8_t client[16]) {
    uint64_t half[2], hash = rates->seed;
    memcpy(half, client, sizeof half);
    for (int i = 0; i < 2; i++) {
        hash ^= half[i];
        hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdULL;
        hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ULL;
        hash ^= hash >> 33;
    }
    return (size_t)(hash % SETS);
}

/* The client's bucket, or else the fullest of its set, which is forgotten for it. */
static struct bucket *bucket_of(struct rates *rates, const uint8_t client[16]) {
    struct bucket *set = rates->sets[set_of(rates, client)], *fullest = set;
    for (int i = 0; i < WAYS; i++) {
        if (memcmp(set[i].client, client, sizeof set[i].client) == 0)
            return &set[i];
        if (set[i].full_ns < fullest->full_ns)
            fullest = &set[i];
    }
    memcpy(fullest->client, client, sizeof fullest->client);
    fullest->full_ns = 0;
    return fullest;
}

int64_t rates_take(struct rates *rates, const uint8_t client[16], int64_t now_ns) {
    pthread_mutex_lock(&rates->mutex);
    struct bucket *bucket = bucket_of(rates, client);
    const int64_t full = (bucket->full_ns > now_ns ? bucket->full_ns : now_ns) + rates->token_ns;
    const int64_t early = full - now_ns - rates->burst_ns;
    if (early <= 0)
        bucket->full_ns = full;
    pthread_mutex_unlock(&rates->mutex);
    return early > 0 ? early : 0;
}
