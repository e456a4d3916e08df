#include <math.h>

#include "engine/sam/everything.h"

const struct everything_options EVERYTHING_DEFAULTS = {
    .points_per_side = 32,
    .pred_iou_thresh = 0.88f,
    .stability_score_thresh = 0.95f,
    .stability_score_offset = 1.0f,
    .box_nms_thresh = 0.7f,
    .crop_n_layers = 0,
    .crop_nms_thresh = 0.7f,
    .crop_overlap_ratio = 512.0 / 1500,
    .crop_n_points_downscale_factor = 1,
    .min_mask_region_area = 0,
};

static enum status check_range(const char *name, double value, double least, double most,
                               struct error *error) {
    if (value >= least && value <= most)
        return STATUS_OK;
    return error_set(error, STATUS_INVALID, "%s is %g, not %g to %g", name, value, least, most);
}

size_t everything_points(const struct everything_options *options) {
    size_t points = 0;
    for (int layer = 0; layer <= options->crop_n_layers; layer++) {
        const size_t side = (size_t)grid_side(options->points_per_side, layer,
                                              options->crop_n_points_downscale_factor);
        points += (side * side) << (2 * layer);
    }
    return points;
}

static enum status check_points(const struct everything_options *options, struct error *error) {
    const size_t points = everything_points(options);
    for (int layer = 0; layer <= options->crop_n_layers; layer++) {
        const size_t side = (size_t)grid_side(options->points_per_side, layer,
                                              options->crop_n_points_downscale_factor);
        if (side == 0)
            return error_set(error, STATUS_INVALID,
                             "crop_n_points_downscale_factor is %d, which leaves layer %d of the "
                             "crops no points of %d a side",
                             options->crop_n_points_downscale_factor, layer,
                             options->points_per_side);
    }
    if (points > EVERYTHING_POINTS_MAX)
        return error_set(error, STATUS_INVALID,
                         "points_per_side is %d, which makes %zu points with the crops of "
                         "crop_n_layers %d; the limit is %d",
                         options->points_per_side, points, options->crop_n_layers,
                         EVERYTHING_POINTS_MAX);
    return STATUS_OK;
}

enum status everything_check(const struct everything_options *options, bool pixels,
                             struct error *error) {
    const struct {
        const char *name;
        double value, least, most;
    } ranges[] = {
        {"points_per_side", options->points_per_side, 1, EVERYTHING_SIDE_MAX},
        {"pred_iou_thresh", (double)options->pred_iou_thresh, 0, 1},
        {"stability_score_thresh", (double)options->stability_score_thresh, 0, 1},
        {"stability_score_offset", (double)options->stability_score_offset, 0, 1000},
        {"box_nms_thresh", (double)options->box_nms_thresh, 0, 1},
        {"crop_n_layers", options->crop_n_layers, 0, EVERYTHING_LAYERS_MAX},
        {"crop_nms_thresh", (double)options->crop_nms_thresh, 0, 1},
        {"crop_overlap_ratio", options->crop_overlap_ratio, 0, 1},
        {"crop_n_points_downscale_factor", options->crop_n_points_downscale_factor, 1,
         EVERYTHING_SIDE_MAX},
        {"min_mask_region_area", options->min_mask_region_area, 0, 1e9},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        enum status status =
            check_range(ranges[i].name, ranges[i].value, ranges[i].least, ranges[i].most, error);
        if (status != STATUS_OK)
            return status;
    }
    if (options->crop_n_layers > 0 && !pixels)
        return error_set(error, STATUS_INVALID,
                         "crop_n_layers is %d, but the image's pixels are not there any more",
                         options->crop_n_layers);
    return check_points(options, error);
}
