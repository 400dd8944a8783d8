/* SPDX-License-Identifier: Apache-2.0 */
/* The reference in double throughout: finite differences and golden trajectories. */
#define DF_REAL_IS_DOUBLE
#define REF_TABLE df_backend_ref64
#define REF_NAME  "ref64"
#include "backend/ref_body.h"
