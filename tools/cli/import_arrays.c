/* SPDX-License-Identifier: Apache-2.0 */
/* dfal import npy, npz and cifar10: arrays to a pool. */
#include "import.h"
#include "print.h"

static dfal_status tell(const struct session *session, const struct import_args *args, dfal_status status)
{
    if (status == DFAL_OK && session->json)
        return print_json(json_pack("{s:s}", "output", args->out));
    return status;
}

dfal_status import_npy(struct session *session, struct import_args *args, const char *const *operands,
                       int32_t count)
{
    return tell(session, args,
                dfal_import_npy(session->context, args->out, operands[0], count > 1 ? operands[1] : NULL,
                                &args->pool));
}

dfal_status import_npz(struct session *session, struct import_args *args, const char *const *operands,
                       int32_t count)
{
    (void)count;
    return tell(session, args, dfal_import_npz(session->context, args->out, operands[0], &args->pool));
}

dfal_status import_cifar10(struct session *session, struct import_args *args, const char *const *operands,
                           int32_t count)
{
    return tell(session, args,
                dfal_import_cifar10(session->context, args->out, operands, count, args->split));
}
