/* SPDX-License-Identifier: Apache-2.0 */
/* Network files (docs/FORMATS.md, "Network"). */
#ifndef DF_STORE_NETWORK_FILE_H
#define DF_STORE_NETWORK_FILE_H

#include "graph/network.h"
#include "store/pool.h"

/* attributes: configuration JSON, created, command_line (recorded; not part of the network's sha256). */
struct df_provenance {
    const char *command_line, *configuration; /* "" allowed */
    const char *backend, *engine, *isa, *device;
    uint64_t seed;
    const char *trained_on; /* NULL, or the fingerprint of a pool: trained_on of the network that is loaded */
};
dfal_status df_network_save(const struct df_network *network, const char *path, bool force,
                            const struct df_provenance *provenance);
/* Read a network file or, told apart by its content and name, an ONNX file (graph/onnx.h). Without scale and
 * offset in the file the network's affine_count is 0: unknown.
 * Errors   E_NOINPUT; E_DATA not HDF5, not a network ("is a pool"), version, graph, missing or misshapen
 * parameter; those of df_onnx_load */
dfal_status df_network_load(struct df_network **out, const char *path);
/* Begun like an ONNX model, or named like one and not HDF5. Errors   E_MEMORY */
dfal_status df_network_is_onnx(bool *onnx, const char *path);

/* The network's input is scaled like the pool from now on. */
dfal_status df_network_take_scaling(struct df_network *network, const struct df_pool *pool);

#endif
