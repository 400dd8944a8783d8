/* SPDX-License-Identifier: Apache-2.0 */
/* A picture file to one sample. Internal to host/io. */
#ifndef DF_IO_IMAGE_TAKE_H
#define DF_IO_IMAGE_TAKE_H

#include "io/image_fit.h"

/* A thread's own memory; zero-initialise, then df_fitter_init. */
struct df_image_taker {
    uint8_t *bytes; /* the file at hand */
    int64_t capacity;
    struct df_fitter fitter;
};
/* Read and decode a file into sample [shape]. shape.h 0: any size, which is then told, and nothing is drawn.
 * fitter.rotated is then that of this picture.
 * Errors   E_DATA what is wrong with this file alone, without its name: missing, unreadable, no plain file,
 *          damaged; with the name: E_SHAPE another size, E_IO, E_MEMORY */
dfal_status df_image_take(struct df_image_taker *taker, const char *path, struct df_shape *shape,
                          uint8_t *sample);
void df_image_taker_clear(struct df_image_taker *taker);

#endif
