/* SPDX-License-Identifier: Apache-2.0 */
#include "sbatch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "child.h"

static dfal_status fail(const char *path, const char *why)
{
    return usage_error(DFAL_E_UNAVAILABLE,
                       "%s is written but not submitted: %s; expected Slurm to take it, as 'sbatch %s' does",
                       path, why, path);
}

dfal_status sbatch(int64_t *job, const char *path, int64_t after)
{
    char dependency[64], said[256], why[128];
    char *words[8] = {"sbatch", "--parsable"};
    int count = 2, ended;
    *job = 0;
    if (after > 0) {
        snprintf(dependency, sizeof dependency, "--dependency=afterok:%" PRId64, after);
        words[count++] = dependency;
        words[count++] = "--kill-on-invalid-dep=yes";
    }
    words[count] = (char *)path;
    const int error = child_output(words, said, sizeof said, -1, &ended);
    if (error != 0)
        return fail(path, error == ENOENT ? "there is no sbatch on the PATH" : strerror(error));
    child_ended(why, sizeof why, "sbatch", ended);
    if (why[0] != '\0')
        return fail(path, why);
    said[strcspn(said, ";\n")] = '\0'; /* behind a semicolon stands the cluster */
    if (!df_parse_whole(job, said) || *job <= 0)
        return fail(path, "sbatch named no job");
    return DFAL_OK;
}
