/* SPDX-License-Identifier: Apache-2.0 */
/* The reference back end: plain loops, a real is a float, sums of layers in double. The oracle of every
 * test. */
#define REF_TABLE df_backend_ref
#define REF_NAME  "ref"
#include "backend/ref_body.h"
