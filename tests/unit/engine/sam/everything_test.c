/* model_everything against one prompt for each point, and what its options do. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sam/crops.h"
#include "tests/unit/engine/naive.h"
#include "tests/unit/engine/pool_fixture.h"
#include "tests/unit/engine/sam/model_fixture.h"
#include "tests/unit/suites.h"

/* An image so small that no crop cuts a mask: its borders are always near. */
enum { WIDTH = 33, HEIGHT = 25, SIDE = 3, POINTS = SIDE * SIDE };

static struct model_fixture fixture;
static struct embedding *embedding;
static struct image pixels;

static void set_up(void) {
    struct rng rng = {1};
    model_fixture_make(&fixture, 5);
    embedding = obtain(sizeof *embedding);
    geometry_fit(WIDTH, HEIGHT, 1024, &embedding->geometry);
    for (size_t i = 0; i < EMBEDDING_VALUES; i++)
        embedding->values[i] = naive_to_half((float)rng_between(&rng, -1, 1));
    pixels = (struct image){WIDTH, HEIGHT, obtain(WIDTH * HEIGHT * 3)};
    for (size_t i = 0; i < WIDTH * HEIGHT * 3; i++)
        pixels.rgb[i] = (uint8_t)rng_below(&rng, 256);
}

static void tear_down(void) {
    image_free(&pixels);
    free(embedding);
    model_fixture_free(&fixture);
}

/* All masks of the grid, no two of which are duplicates. */
static const struct everything_options ALL = {
    .points_per_side = SIDE,
    .stability_score_offset = 1,
    .box_nms_thresh = 1,
    .crop_nms_thresh = 1,
    .crop_overlap_ratio = 512.0 / 1500,
    .crop_n_points_downscale_factor = 1,
};

/* ---- running ----------------------------------------------------------------------------- */

struct task {
    const struct everything_options *options;
    const struct everything_progress *progress;
    const struct embedding *embedding; /* NULL: of the image */
    const struct image *pixels;
    struct everything result;
    struct error error;
    enum status status;
};

static void run_task(void *argument, struct worker *worker) {
    struct task *task = argument;
    memset(&task->result, 0x55, sizeof task->result);
    task->status =
        model_everything(fixture.model, worker, task->embedding ? task->embedding : embedding,
                         task->pixels, task->options, task->progress, &task->result, &task->error);
}

static void run(struct task *task, int workers) {
    run_on_pool(workers, model_tile_scratch_bytes(fixture.model), run_task, task);
}

static struct everything find(struct everything_options options) {
    struct task task = {.options = &options, .pixels = &pixels};
    run(&task, 2);
    ck_assert_msg(task.status == STATUS_OK, "%s", task.error.message);
    return task.result;
}

static void check_mask(const struct segment *segment) {
    size_t area;
    int bbox[4];
    ck_assert_int_eq(segment->mask.width, WIDTH);
    ck_assert_int_eq(segment->mask.height, HEIGHT);
    mask_describe(&segment->mask, &area, bbox);
    ck_assert_uint_gt(area, 0);
    ck_assert_uint_eq(segment->area, area);
    ck_assert_mem_eq(segment->bbox, bbox, sizeof bbox);
}

/* ---- one prompt for each point ----------------------------------------------------------- */

struct prompts {
    struct segmentation results[POINTS];
};

static void prompt_all(void *argument, struct worker *worker) {
    const struct crop image = {.width = WIDTH, .height = HEIGHT};
    struct prompts *prompts = argument;
    struct session *session;
    ck_assert_int_eq(session_create(fixture.model, &session, NULL), STATUS_OK);
    for (size_t i = 0; i < POINTS; i++) {
        struct prompt prompt = {.point_count = 1, .labels = {1}, .multimask = MULTIMASK_ALL};
        grid_point(&image, SIDE, i, prompt.points[0]);
        ck_assert_int_eq(model_segment(fixture.model, session, worker, embedding, NULL, &prompt,
                                       &prompts->results[i], NULL),
                         STATUS_OK);
    }
    session_free(session);
}

static size_t common_pixels(const struct mask *a, const struct mask *b) {
    uint8_t *pixels_of_a = obtain(WIDTH * HEIGHT);
    size_t at = 0, common = 0;
    for (size_t run = 0; run < a->count; at += a->counts[run++])
        memset(pixels_of_a + at, run % 2, a->counts[run]);
    at = 0;
    for (size_t run = 0; run < b->count; at += b->counts[run++])
        for (size_t i = 0; run % 2 && i < b->counts[run]; i++)
            common += pixels_of_a[at + i];
    free(pixels_of_a);
    return common;
}

/* The prompt's mask that is this one; the sums are others, so a pixel may be too. */
static void check_prompted(const struct everything_mask *found, const struct prompts *prompts) {
    const struct crop image = {.width = WIDTH, .height = HEIGHT};
    float point[2];
    for (size_t i = 0; i < POINTS; i++) {
        grid_point(&image, SIDE, i, point);
        if (memcmp(point, found->point, sizeof point) != 0)
            continue;
        for (int k = 0; k < 3; k++) {
            const struct segment *one = &prompts->results[i].segments[k];
            if (fabsf(one->predicted_iou - found->segment.predicted_iou) > 1e-5f)
                continue;
            const size_t common = common_pixels(&one->mask, &found->segment.mask);
            ck_assert_uint_ge(common * 1000, one->area * 995);
            ck_assert_uint_ge(common * 1000, found->segment.area * 995);
            ck_assert_float_eq_tol(one->stability_score, found->segment.stability_score, 0.005f);
            return;
        }
    }
    ck_abort_msg("no prompt has the mask of point %g, %g with predicted IoU %g",
                 (double)found->point[0], (double)found->point[1],
                 (double)found->segment.predicted_iou);
}

START_TEST(masks_are_those_of_a_prompt_for_each_point) {
    struct prompts prompts;
    struct everything found = find(ALL);
    size_t expected = 0;
    run_on_pool(2, model_tile_scratch_bytes(fixture.model), prompt_all, &prompts);
    for (size_t i = 0; i < POINTS; i++)
        for (int k = 0; k < 3; k++)
            expected += prompts.results[i].segments[k].area > 0;
    ck_assert_uint_gt(expected, POINTS);
    ck_assert_uint_eq(found.count, expected);
    for (size_t i = 0; i < found.count; i++) {
        const struct everything_mask *mask = &found.masks[i];
        check_mask(&mask->segment);
        check_prompted(mask, &prompts);
        ck_assert(i == 0 || mask[-1].segment.predicted_iou >= mask->segment.predicted_iou);
        ck_assert_mem_eq(mask->crop_box, ((int[4]){0, 0, WIDTH, HEIGHT}), sizeof mask->crop_box);
    }
    everything_free(&found);
    ck_assert_ptr_null(found.masks);
    for (size_t i = 0; i < POINTS; i++)
        segmentation_free(&prompts.results[i]);
}
END_TEST

static void check_same(const struct everything *found, const struct everything *expected) {
    ck_assert_uint_eq(found->count, expected->count);
    for (size_t i = 0; i < found->count; i++) {
        const struct everything_mask *a = &found->masks[i], *b = &expected->masks[i];
        ck_assert_float_eq(a->segment.predicted_iou, b->segment.predicted_iou);
        ck_assert_float_eq(a->segment.stability_score, b->segment.stability_score);
        ck_assert_mem_eq(a->point, b->point, sizeof a->point);
        ck_assert_mem_eq(a->crop_box, b->crop_box, sizeof a->crop_box);
        ck_assert_mem_eq(a->segment.bbox, b->segment.bbox, sizeof a->segment.bbox);
        ck_assert_uint_eq(a->segment.mask.count, b->segment.mask.count);
        ck_assert_mem_eq(a->segment.mask.counts, b->segment.mask.counts,
                         a->segment.mask.count * sizeof(uint32_t));
    }
}

START_TEST(workers_do_not_change_the_masks) {
    struct everything expected = find(ALL);
    for (int workers = 1; workers <= 3; workers += 2) {
        struct task task = {.options = &ALL};
        run(&task, workers);
        check_same(&task.result, &expected);
        everything_free(&task.result);
    }
    everything_free(&expected);
}
END_TEST

/* ---- filters ----------------------------------------------------------------------------- */

START_TEST(masks_below_a_threshold_are_left_out) {
    struct everything all = find(ALL);
    for (int by_iou = 0; by_iou < 2; by_iou++) {
        struct everything_options options = ALL;
        const struct segment *middle = &all.masks[all.count / 4].segment;
        size_t expected = 0;
        if (by_iou)
            options.pred_iou_thresh = middle->predicted_iou;
        else
            options.stability_score_thresh = middle->stability_score;
        for (size_t i = 0; i < all.count; i++) {
            const struct segment *segment = &all.masks[i].segment;
            expected += by_iou ? segment->predicted_iou > options.pred_iou_thresh
                               : segment->stability_score >= options.stability_score_thresh;
        }
        ck_assert(expected > 0 && expected < all.count);
        struct everything found = find(options);
        ck_assert_uint_eq(found.count, expected);
        everything_free(&found);
    }
    everything_free(&all);
}
END_TEST

START_TEST(the_offset_is_the_stability_scores) {
    struct everything_options options = ALL;
    options.stability_score_offset = 0;
    struct everything found = find(options);
    ck_assert_uint_gt(found.count, 0);
    for (size_t i = 0; i < found.count; i++)
        ck_assert_float_eq(found.masks[i].segment.stability_score, 1);
    everything_free(&found);
}
END_TEST

static double overlap_of_boxes(const int *a, const int *b) {
    const int right = fmin(a[0] + a[2], b[0] + b[2]) - 1, left = fmax(a[0], b[0]);
    const int bottom = fmin(a[1] + a[3], b[1] + b[3]) - 1, top = fmax(a[1], b[1]);
    const double both = fmax(right - left, 0) * fmax(bottom - top, 0);
    return both / ((a[2] - 1) * (a[3] - 1) + (b[2] - 1) * (b[3] - 1) - both);
}

START_TEST(of_duplicates_the_best_stays) {
    struct everything_options options = ALL;
    struct everything all = find(ALL), found;
    size_t kept = 0;
    options.box_nms_thresh = 0.6f;
    found = find(options);
    ck_assert_uint_lt(found.count, all.count);
    for (size_t i = 0; i < all.count; i++) { /* by falling predicted IoU */
        const struct segment *segment = &all.masks[i].segment;
        bool duplicate = false;
        for (size_t j = 0; j < kept; j++)
            duplicate |= overlap_of_boxes(found.masks[j].segment.bbox, segment->bbox) > 0.6;
        if (duplicate)
            continue;
        ck_assert_uint_lt(kept, found.count);
        ck_assert_float_eq(found.masks[kept++].segment.predicted_iou, segment->predicted_iou);
    }
    ck_assert_uint_eq(kept, found.count);
    everything_free(&all);
    everything_free(&found);
}
END_TEST

START_TEST(small_regions_are_cleaned) {
    struct everything_options options = ALL;
    struct everything all = find(ALL), found;
    size_t before = 0, after = 0;
    options.min_mask_region_area = 10;
    found = find(options);
    for (size_t i = 0; i < all.count; i++)
        before += all.masks[i].segment.mask.count;
    for (size_t i = 0; i < found.count; i++) {
        struct segment *segment = &found.masks[i].segment;
        bool changed = true;
        check_mask(segment);
        after += segment->mask.count;
        ck_assert_int_eq(
            mask_remove_small_regions(&segment->mask, 10, REGION_HOLES, &changed, NULL), STATUS_OK);
        ck_assert(!changed);
    }
    ck_assert_uint_lt(after, before);
    everything_free(&all);
    everything_free(&found);
}
END_TEST

/* ---- crops ------------------------------------------------------------------------------- */

struct crop_task {
    struct task task;
    struct crop crop;
    struct embedding *embedding;
};

/* The crop as an image of its own. */
static void search_alone(void *argument, struct worker *worker) {
    struct crop_task *at = argument;
    const struct crop *crop = &at->crop;
    struct geometry geometry;
    struct image part = {crop->width, crop->height,
                         obtain((size_t)(crop->width * crop->height * 3))},
                 scaled;
    struct session *session;
    for (int y = 0; y < crop->height; y++)
        memcpy(part.rgb + y * crop->width * 3, pixels.rgb + ((crop->y + y) * WIDTH + crop->x) * 3,
               (size_t)crop->width * 3);
    geometry_fit(crop->width, crop->height, 1024, &geometry);
    ck_assert_int_eq(
        image_resize(&part, geometry.scaled_width, geometry.scaled_height, NULL, &scaled, NULL),
        STATUS_OK);
    ck_assert_int_eq(session_create(fixture.model, &session, NULL), STATUS_OK);
    model_encode(fixture.model, session, worker, &scaled, &geometry, at->embedding);
    session_free(session);
    image_free(&scaled);
    image_free(&part);
    at->task.embedding = at->embedding;
    run_task(&at->task, worker);
}

static bool in_crop(const struct everything_mask *mask, const struct crop *crop) {
    const int box[4] = {crop->x, crop->y, crop->width, crop->height};
    return memcmp(mask->crop_box, box, sizeof box) == 0;
}

/* A mask of the crop alone is one of the image's there, unless the crop cuts it. */
static void check_crop(const struct everything *found, const struct crop *crop) {
    struct crop_task at = {
        .task.options = &ALL, .crop = *crop, .embedding = obtain(sizeof *at.embedding)};
    size_t next = 0, matched = 0;
    run_on_pool(2, model_tile_scratch_bytes(fixture.model), search_alone, &at);
    ck_assert_int_eq(at.task.status, STATUS_OK);
    for (size_t i = 0; i < at.task.result.count; i++) {
        const struct everything_mask *alone = &at.task.result.masks[i];
        const int *box = alone->segment.bbox;
        const int moved[4] = {box[0] + crop->x, box[1] + crop->y, box[2], box[3]};
        if (crop_cuts_box(crop, moved, WIDTH, HEIGHT))
            continue;
        while (next < found->count && !in_crop(&found->masks[next], crop))
            next++;
        ck_assert_uint_lt(next, found->count);
        const struct everything_mask *mask = &found->masks[next++];
        check_mask(&mask->segment);
        ck_assert_uint_eq(mask->segment.area, alone->segment.area);
        ck_assert_mem_eq(mask->segment.bbox, moved, sizeof moved);
        ck_assert_float_eq(mask->segment.predicted_iou, alone->segment.predicted_iou);
        ck_assert_float_eq(mask->point[0], alone->point[0] + (float)crop->x);
        ck_assert_float_eq(mask->point[1], alone->point[1] + (float)crop->y);
        matched++;
    }
    for (; next < found->count; next++)
        ck_assert(!in_crop(&found->masks[next], crop));
    ck_assert_uint_gt(matched, 0);
    everything_free(&at.task.result);
    free(at.embedding);
}

static void note_total(void *argument, size_t done, size_t total) {
    size_t *noted = argument;
    ck_assert(done > noted[0] && done <= total);
    noted[0] = done;
    noted[1] = total;
}

START_TEST(crops_are_images_of_their_own) {
    struct everything_options options = ALL;
    size_t noted[2] = {0};
    struct everything_progress progress = {.report = note_total, .argument = noted};
    struct task task = {.options = &options, .progress = &progress, .pixels = &pixels};
    struct crop crops[CROPS_MAX];
    options.crop_n_layers = 1;
    run(&task, 2);
    ck_assert_msg(task.status == STATUS_OK, "%s", task.error.message);
    ck_assert_uint_eq(crops_make(WIDTH, HEIGHT, 1, ALL.crop_overlap_ratio, crops), 5);
    ck_assert_uint_eq(noted[0], 5 * POINTS);
    ck_assert_uint_eq(noted[1], 5 * POINTS);
    ck_assert_mem_ne(task.result.masks[0].crop_box, ((int[4]){0, 0, WIDTH, HEIGHT}),
                     sizeof(int[4])); /* smaller crops are better */
    check_crop(&task.result, &crops[4]);
    everything_free(&task.result);
}
END_TEST

/* ---- progress and faults ----------------------------------------------------------------- */

struct watch {
    size_t asked, reported, limit;
    bool cancelled;
};

static void note_report(void *argument, size_t done, size_t total) {
    struct watch *watch = argument;
    ck_assert(!watch->cancelled);
    ck_assert_uint_gt(done, watch->reported);
    ck_assert_uint_eq(total, POINTS);
    watch->reported = done;
}

static bool is_cancelled(void *argument) {
    struct watch *watch = argument;
    watch->cancelled = ++watch->asked > watch->limit;
    return watch->cancelled;
}

START_TEST(who_waits_is_told_and_may_cancel) {
    for (int workers = 1; workers <= 3; workers++) {
        for (size_t limit = 0; limit <= POINTS; limit += POINTS) {
            struct watch watch = {.limit = limit};
            struct everything_progress progress = {note_report, is_cancelled, &watch, 0};
            struct task task = {.options = &ALL, .progress = &progress};
            run(&task, workers);
            ck_assert_int_eq(task.status, limit ? STATUS_OK : STATUS_INVALID);
            ck_assert_uint_eq(watch.reported, limit ? POINTS : 0);
            ck_assert(limit || strstr(task.error.message, "cancelled"));
            ck_assert(limit || task.result.count == 0);
            everything_free(&task.result);
        }
    }
}
END_TEST

/* Some of the points are on their way, on another worker, or are done. */
START_TEST(cancelled_on_the_way) {
    for (int workers = 1; workers <= 3; workers++) {
        struct watch watch = {.limit = 1};
        struct everything_progress progress = {note_report, is_cancelled, &watch, 0};
        struct task task = {.options = &ALL, .progress = &progress};
        run(&task, workers);
        ck_assert_int_eq(task.status, STATUS_INVALID);
        ck_assert_uint_lt(watch.reported, POINTS);
        ck_assert(workers > 1 || watch.reported > 0);
        ck_assert_uint_eq(watch.asked, 2); /* not again after true */
        ck_assert_uint_eq(task.result.count, 0);
    }
}
END_TEST

START_TEST(masks_take_as_much_as_they_may) {
    struct everything found = find(ALL);
    const size_t bytes = everything_bytes(&found);
    everything_free(&found);
    for (int over = 0; over < 2; over++) {
        struct everything_progress progress = {.bytes_limit = bytes - (size_t)over};
        struct task task = {.options = &ALL, .progress = &progress};
        run(&task, 2);
        ck_assert_int_eq(task.status, over ? STATUS_TOO_LARGE : STATUS_OK);
        ck_assert(!over || strstr(task.error.message, "pred_iou_thresh"));
        ck_assert_uint_eq(task.result.count > 0, !over);
        everything_free(&task.result);
    }
}
END_TEST

START_TEST(options_out_of_range_are_named) {
    const struct {
        const char *name;
        struct everything_options options;
    } faults[] = {
#define WITH(name, value)                                                                          \
    {                                                                                              \
#name, {                                                                                   \
            .points_per_side = 3, .crop_n_points_downscale_factor = 1, .name = value               \
        }                                                                                          \
    }
        WITH(pred_iou_thresh, NAN),
        WITH(pred_iou_thresh, 1.5f),
        WITH(stability_score_thresh, -0.1f),
        WITH(stability_score_offset, -1),
        WITH(stability_score_offset, INFINITY),
        WITH(box_nms_thresh, NAN),
        WITH(crop_n_layers, -1),
        WITH(crop_n_layers, EVERYTHING_LAYERS_MAX + 1),
        WITH(crop_n_layers, 1), /* without pixels */
        WITH(crop_nms_thresh, 2),
        WITH(crop_overlap_ratio, NAN),
        WITH(crop_overlap_ratio, 1.1),
        WITH(min_mask_region_area, -1),
#undef WITH
        {"points_per_side", {.points_per_side = 0, .crop_n_points_downscale_factor = 1}},
        {"points_per_side",
         {.points_per_side = EVERYTHING_SIDE_MAX + 1, .crop_n_points_downscale_factor = 1}},
        {"crop_n_points_downscale_factor", {.points_per_side = 3}},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct task task = {.options = &faults[i].options};
        run(&task, 1);
        ck_assert_msg(task.status == STATUS_INVALID, "fault %zu, of %s", i, faults[i].name);
        ck_assert_msg(strstr(task.error.message, faults[i].name), "%s", task.error.message);
        ck_assert_uint_eq(task.result.count, 0);
    }
}
END_TEST

START_TEST(too_many_points_are_refused) {
    struct everything_options options = EVERYTHING_DEFAULTS;
    struct error error = {0};
    ck_assert_int_eq(everything_check(&options, false, &error), STATUS_OK);
    options.points_per_side = EVERYTHING_SIDE_MAX;
    ck_assert_int_eq(everything_check(&options, false, &error), STATUS_OK);
    options.crop_n_layers = 1;
    ck_assert_int_eq(everything_check(&options, true, &error), STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "points_per_side"));
    options.crop_n_points_downscale_factor = 2;
    ck_assert_int_eq(everything_check(&options, true, &error), STATUS_OK);
    options.points_per_side = 1;
    ck_assert_int_eq(everything_check(&options, true, &error), STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "crop_n_points_downscale_factor"));
}
END_TEST

START_TEST(pixels_of_another_image_are_refused) {
    const struct image other = {WIDTH + 1, HEIGHT, pixels.rgb};
    struct task task = {.options = &ALL, .pixels = &other};
    run(&task, 1);
    ck_assert_int_eq(task.status, STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(task.error.message, "pixels"));
}
END_TEST

Suite *everything_suite(void) {
    Suite *suite = suite_create("everything");
    TCase *cases = tcase_create("everything");
    tcase_set_timeout(cases, 300);
    tcase_add_unchecked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, masks_are_those_of_a_prompt_for_each_point);
    tcase_add_test(cases, workers_do_not_change_the_masks);
    tcase_add_test(cases, masks_below_a_threshold_are_left_out);
    tcase_add_test(cases, the_offset_is_the_stability_scores);
    tcase_add_test(cases, of_duplicates_the_best_stays);
    tcase_add_test(cases, small_regions_are_cleaned);
    tcase_add_test(cases, crops_are_images_of_their_own);
    tcase_add_test(cases, who_waits_is_told_and_may_cancel);
    tcase_add_test(cases, cancelled_on_the_way);
    tcase_add_test(cases, masks_take_as_much_as_they_may);
    tcase_add_test(cases, options_out_of_range_are_named);
    tcase_add_test(cases, too_many_points_are_refused);
    tcase_add_test(cases, pixels_of_another_image_are_refused);
    suite_add_tcase(suite, cases);
    return suite;
}
