/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays as numpy.save writes them, format 1.0 to 3.0.
 * Source   numpy/lib/format.py, NEP 1 */
#ifndef DF_IO_NPY_H
#define DF_IO_NPY_H

#include "io/source.h"

enum df_npy_kind { DF_NPY_INTEGER, DF_NPY_UNSIGNED, DF_NPY_REAL };
enum { DF_NPY_RANK = 8, DF_NPY_SHAPE_TEXT = 192 };

struct df_npy {
    struct df_source source;
    enum df_npy_kind kind;
    int32_t width; /* bytes an element: 1, 2, 4, 8 */
    bool swap;     /* stored big-endian */
    int32_t rank;
    int64_t dims[DF_NPY_RANK];
    int64_t count;  /* elements */
    int64_t taken;  /* elements read so far */
    void *raw;      /* one block as stored */
    char descr[16]; /* "<f4" */
};
#define DF_NPY_NONE ((struct df_npy){.source = DF_SOURCE_NONE})

/* Read the header of an open source, which is the array's from then on (also on error); the elements that it
 * declares must be exactly what the source holds.
 * Errors   E_DATA no npy file, a damaged header, objects, structures, texts or dates, Fortran order, another
 *          size */
dfal_status df_npy_open(struct df_npy *npy, struct df_source *source);
void df_npy_close(struct df_npy *npy);
/* Are the elements unsigned bytes (u1)? Those of bool are none. */
bool df_npy_is_bytes(const struct df_npy *npy);
/* The next count elements, of bytes (u1), as f32 or as integers; row_elements: how many belong to one row,
 * for messages.
 * Errors   E_DATA truncated; an integer that f32 cannot hold exactly, a finite real beyond f32, a real that
 *          is no whole number, each with its row; E_IO */
dfal_status df_npy_bytes(struct df_npy *npy, uint8_t *out, int64_t count);
dfal_status df_npy_reals(struct df_npy *npy, float *out, int64_t count, int64_t row_elements);
dfal_status df_npy_integers(struct df_npy *npy, int64_t *out, int64_t count, int64_t row_elements);
/* Pass over the next count elements. Errors   E_DATA truncated; E_IO */
dfal_status df_npy_skip(struct df_npy *npy, int64_t count);
/* "[60000, 28, 28]" */
const char *df_npy_shape(char text[DF_NPY_SHAPE_TEXT], const struct df_npy *npy);

#endif
