/* Embeddings in the layout of the original's code. */
#include "engine/engine.h"
#include "engine/kernels/kernels.h"

/* So many positions at a time: their channels fit the first-level cache, and what is written of one
 * channel is a cache line. */
enum { POSITIONS = EMBEDDING_SIDE * EMBEDDING_SIDE, CHANNELS = EMBEDDING_CHANNELS, BLOCK = 32 };

static void write_halves(const uint16_t *values, uint16_t *planes) {
    for (size_t at = 0; at < POSITIONS; at += BLOCK)
        for (size_t channel = 0; channel < CHANNELS; channel++)
            for (size_t i = at; i < at + BLOCK; i++)
                planes[channel * POSITIONS + i] = values[i * CHANNELS + channel];
}

static void write_floats(const uint16_t *values, float *planes) {
    float block[BLOCK * CHANNELS];
    for (size_t at = 0; at < POSITIONS; at += BLOCK) {
        kernels_best()->from_half(values + at * CHANNELS, block, BLOCK * CHANNELS);
        for (size_t channel = 0; channel < CHANNELS; channel++)
            for (size_t i = 0; i < BLOCK; i++)
                planes[channel * POSITIONS + at + i] = block[i * CHANNELS + channel];
    }
}

void embedding_write(const struct embedding *embedding, enum embedding_type type, void *planes) {
    if (type == EMBEDDING_FLOAT16)
        write_halves(embedding->values, planes);
    else
        write_floats(embedding->values, planes);
}

static void read_halves(uint16_t *values, const uint16_t *planes) {
    for (size_t at = 0; at < POSITIONS; at += BLOCK)
        for (size_t channel = 0; channel < CHANNELS; channel++)
            for (size_t i = at; i < at + BLOCK; i++)
                values[i * CHANNELS + channel] = planes[channel * POSITIONS + i];
}

static void read_floats(uint16_t *values, const float *planes) {
    float block[BLOCK * CHANNELS];
    for (size_t at = 0; at < POSITIONS; at += BLOCK) {
        for (size_t channel = 0; channel < CHANNELS; channel++)
            for (size_t i = 0; i < BLOCK; i++)
                block[i * CHANNELS + channel] = planes[channel * POSITIONS + at + i];
        kernels_best()->to_half(block, values + at * CHANNELS, BLOCK * CHANNELS);
    }
}

bool embedding_read(struct embedding *embedding, enum embedding_type type, const void *planes) {
    if (type == EMBEDDING_FLOAT16)
        read_halves(embedding->values, planes);
    else
        read_floats(embedding->values, planes);
    const uint16_t exponent = 0x7c00; /* all set: infinite or not a number */
    bool finite = true;
    for (size_t i = 0; i < EMBEDDING_VALUES; i++)
        finite &= (embedding->values[i] & exponent) != exponent;
    return finite;
}
