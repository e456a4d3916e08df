#include "engine/sam/box_nms.h"

#include <math.h>
#include <stdlib.h>

struct ranked {
    float score; /* not a number: below all others */
    size_t index;
};

static int by_falling_score(const void *a, const void *b) {
    const struct ranked *left = a, *right = b;
    if (left->score != right->score)
        return left->score > right->score ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

static float area(const float box[4]) {
    return (box[2] - box[0]) * (box[3] - box[1]);
}

static float overlap(const float a[4], const float b[4]) {
    const float width = fminf(a[2], b[2]) - fmaxf(a[0], b[0]);
    const float height = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    const float intersection = fmaxf(width, 0) * fmaxf(height, 0);
    return intersection / (area(a) + area(b) - intersection);
}

enum status box_nms(const struct scored_box *boxes, size_t count, float threshold,
                    const struct image_yield *yield, size_t *kept, size_t *kept_count,
                    struct error *error) {
    struct ranked *order = malloc((count ? count : 1) * sizeof *order);
    *kept_count = 0;
    if (!order)
        return error_set(error, STATUS_NO_MEMORY, "no memory to compare %zu boxes", count);
    for (size_t i = 0; i < count; i++)
        order[i] = (struct ranked){isnan(boxes[i].score) ? -INFINITY : boxes[i].score, i};
    qsort(order, count, sizeof *order, by_falling_score);
    for (size_t i = 0; i < count; i++) {
        const float *box = boxes[order[i].index].corners;
        size_t better = 0;
        if (yield)
            yield->call(yield->argument);
        while (better < *kept_count && !(overlap(boxes[kept[better]].corners, box) > threshold))
            better++;
        if (better == *kept_count)
            kept[(*kept_count)++] = order[i].index;
    }
    free(order);
    return STATUS_OK;
}
