/* SPDX-License-Identifier: Apache-2.0 */
/* DeepFool on a wide device, which keeps the samples and the lists of slots itself (kernels/residency.h). The host hands
 * over chunks of the stream, learns two totals an iteration and takes finished results. Results are those of lane.c. */
#ifndef DF_SCORE_RESIDENT_H
#define DF_SCORE_RESIDENT_H

#include "score/lane.h"

/* Bytes on the device that a slot takes beside its lane's. */
int64_t df_resident_slot_bytes(const struct df_pool *pool);
/* For the engine's first lane, whose slots and tape are used. */
dfal_status df_resident_create(struct df_resident **out, struct df_lane *lane);
void df_resident_destroy(struct df_resident *resident);
/* Run until the stream is dry and every slot is empty. The sink gets no adversarial images. */
dfal_status df_resident_run(struct df_resident *resident);

#endif
