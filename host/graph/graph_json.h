/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DF_GRAPH_GRAPH_JSON_H
#define DF_GRAPH_GRAPH_JSON_H

#include "graph/network.h"

/* Write the canonical graph piece by piece: no allocation. */
typedef void df_graph_sink(void *user, const char *text, size_t size);
void df_graph_write(const struct df_network *network, df_graph_sink *put, void *user);

#endif
