/* SPDX-License-Identifier: Apache-2.0 */
/* dfal import: other people's files to pools. */
#include <string.h>

#include "commands.h"
#include "output.h"

struct import_args {
    const char *out;
};

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    static const char *const later[] = {"npy", "npz", "cifar10", "images", "onnx"};
    struct import_args *args = user;
    for (int32_t i = 0; i < COUNT_OF(later); i++)
        if (strcmp(operands[0], later[i]) == 0)
            return usage_error(session, DFAL_E_UNAVAILABLE, "import %s is not in this version", operands[0]);
    if (strcmp(operands[0], "idx") != 0)
        return usage_error(session, DFAL_E_USAGE,
                           "import of '%s' is unknown, expected idx; did you mean 'idx'?", operands[0]);
    if (count < 2)
        return usage_error(session, DFAL_E_USAGE, "import idx needs IMAGES [LABELS]");
    if (count > 3)
        return usage_error(session, DFAL_E_USAGE,
                           "import idx takes IMAGES [LABELS], so '%s' is one argument too many", operands[3]);
    if (args->out == NULL)
        return usage_error(session, DFAL_E_USAGE, "import needs -o POOL.h5");
    dfal_status status =
        dfal_import_idx(session->context, args->out, operands[1], count > 2 ? operands[2] : NULL);
    if (status == DFAL_OK && session->json)
        return print_json(json_pack("{s:s}", "output", args->out));
    return status;
}

#define S struct import_args
static const struct option options[] = {
    OPT(S, "output", 'o', VALUE_TEXT, out, "POOL.h5", "the pool to write (required)", 0, 0),
    OPT_LATER("resize", VALUE_LATER, "PIXELS"),
    OPT_LATER("crop", VALUE_LATER, "PIXELS"),
    OPT_LATER("interpolation", VALUE_LATER, "bilinear|bicubic"),
    OPT_LATER("mean", VALUE_LATER, "R,G,B"),
    OPT_LATER("std", VALUE_LATER, "R,G,B"),
    OPT_LATER("folders-are-classes", VALUE_LATER_FLAG, NULL),
    OPT_LATER("on-error", VALUE_LATER, "stop|skip"),
};

const struct command command_import = {
    .name = "import",
    .operands = "idx IMAGES [LABELS]",
    .summary = "Convert IDX images and labels, plain or .gz, to a pool",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = -1,
    .size = sizeof(S),
    .run = run,
};
