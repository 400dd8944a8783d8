/* SPDX-License-Identifier: Apache-2.0 */
/* Windows as ONNX's attributes describe them. Only onnx*.c include it. */
#ifndef DF_GRAPH_ONNX_WINDOW_H
#define DF_GRAPH_ONNX_WINDOW_H

#include "graph/onnx_model.h"

/* strides, dilations, pads and auto_pad of a Conv or pool over `in` (its height and width).
 *   kernel  in  [2] */
dfal_status df_onnx_window(const struct df_onnx *onnx, const Onnx__NodeProto *proto, struct df_shape in,
                           const int64_t *kernel, struct df_window *out);

#endif
