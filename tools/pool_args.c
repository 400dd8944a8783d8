/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

const struct dfal_pool_options *pool_args_options(struct pool_args *args)
{
    args->options.size = sizeof args->options; /* the other defaults are zeros */
    args->options.label_files = args->labels.items;
    args->options.label_file_count = args->labels.count;
    return &args->options;
}
