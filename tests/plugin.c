/* SPDX-License-Identifier: Apache-2.0 */
/* A back end in a shared object, for the tests: ref's own functions behind another table.
 *   PLANT_BUG   relu_fwd and gemm_fwd come out wrong in one element
 *   PLANT_ABI   the table says that it speaks another ABI
 *   PLANT_LOSS  after as many calls as the environment's PLANT_LOSS_AFTER says every call is refused; unset:
 *   none */
#include "backend/object.h"

#include <stdlib.h>

static dfal_status plugin_open(struct df_device **out, const struct df_device_options *options);

static dfal_status plugin_run(struct df_device *device, int32_t queue, const struct df_call *call)
{
#ifdef PLANT_LOSS
    static atomic_llong calls;
    const char *after = getenv("PLANT_LOSS_AFTER");
    if (after != NULL && atomic_fetch_add(&calls, 1) >= atoll(after))
        DF_FAIL(DFAL_E_UNAVAILABLE, "the device was lost");
#endif
    DF_TRY(df_backend_ref.run(device, queue, call));
#ifdef PLANT_BUG
    if (call->op == DF_OP_relu_fwd || call->op == DF_OP_gemm_fwd) {
        float value;
        const struct df_span at = df_at(call->out[0], 3);
        DF_TRY(df_backend_ref.read(device, queue, &value, at, 1));
        value = call->op == DF_OP_relu_fwd ? value + 0x1p-20F : value * 1.001F + 0.01F;
        DF_TRY(df_backend_ref.write(device, queue, at, &value, 1));
    }
#endif
    return DFAL_OK;
}

const struct df_backend *df_object_table(void)
{
    static struct df_backend table;
    table = df_backend_ref;
#ifdef PLANT_ABI
    table.abi = DF_BACKEND_ABI + 1000;
#endif
    table.name = "plugin";
    table.device_open = plugin_open;
    table.run = plugin_run;
    return &table;
}

static dfal_status plugin_open(struct df_device **out, const struct df_device_options *options)
{
    DF_TRY(df_backend_ref.device_open(out, options));
    (*out)->info = (struct df_device_info){"plugin", "any", "CPU", "none"};
    return DFAL_OK;
}
