/* SPDX-License-Identifier: Apache-2.0 */
/* Queries as small pictures: the sample, its adversarial twin and the difference, in the pool's own raw
 * units, so that they look as they did before they were scaled for the network. */
#ifndef DF_REPORT_QUERY_TILE_H
#define DF_REPORT_QUERY_TILE_H

#include "strategy/selection.h"

/* How a pool's values become brightness; found once for all tiles of a sheet. */
enum df_tile_range { DF_TILE_BYTES, DF_TILE_UNIT, DF_TILE_STRETCHED };
struct df_tiles {
    struct df_pool *pool;
    const struct df_selection *selection;
    enum df_tile_range
        range; /* raw values 0 to 255; 0 to 1; neither: from the darkest to the brightest shown */
    double low, high;
    int64_t channels, height, width; /* of a picture: 3 channels or, of anything but 3, the first */
    void *raw;
    double *wide, *narrow; /* work space */
    unsigned char *bytes;
};
struct df_tile {
    const unsigned char *sample, *twin,
        *difference; /* [channels, height, width]; the last two NULL without a twin */
    /* the difference of brightness is drawn this many times as strong around grey, never cut off */
    double factor;
};
/* Pictures of the first `shown` chosen, scaled down by area until no side is longer than `side`. */
dfal_status df_tiles_open(struct df_tiles *tiles, struct df_pool *pool, const struct df_selection *selection,
                          int64_t shown, int64_t side);
/* The i-th chosen; valid until the next call. */
dfal_status df_tile_take(struct df_tiles *tiles, int64_t i, struct df_tile *tile);
void df_tiles_close(struct df_tiles *tiles);
/* The pictures share a scale; how, as a sentence without its full stop. */
const char *df_tiles_range_text(const struct df_tiles *tiles);

#endif
