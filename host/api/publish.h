/* SPDX-License-Identifier: Apache-2.0 */
/* What a run directory gets when all its rows are there: its page, and the mark that it is finished. */
#ifndef DF_API_PUBLISH_H
#define DF_API_PUBLISH_H

#include "run/rounds.h"

/* A part of an experiment gets no page. */
df_run_publish_fn df_run_publish;

#endif
