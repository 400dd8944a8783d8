/* SPDX-License-Identifier: Apache-2.0 */
/* What HDF5 is about to parse, looked at first. HDF5 1.10 believes nearly every size, count and address in a
 * file: one changed byte lets it read past a buffer, take gigabytes or go round for ever. dfal's file driver
 * sees each piece of metadata when HDF5 asks for it, and refuses what does not hold together. Raw samples are
 * not looked at. */
#ifndef DF_STORE_HDF5_CHECK_H
#define DF_STORE_HDF5_CHECK_H

#include "store/hdf5_source.h"

void df_h5_source_begin(struct df_h5_source *source, int fd, uint64_t size);
void df_h5_source_end(struct df_h5_source *source);
/* May HDF5 parse these bytes, read from this address? */
bool df_h5_check_piece(struct df_h5_source *source, enum df_h5_piece piece, uint64_t address,
                       const uint8_t *bytes, uint64_t size);

#endif
