/* SPDX-License-Identifier: Apache-2.0 */
/* What stands between this process and an NVIDIA GPU, told without CUDA: it may not be there. */
#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/memory.h"

#define NEEDED_DRIVER "580" /* the first for CUDA 13 */

/* "580.95.05" of the kernel's module; "" where there is none. */
static void module_version(char *text, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/driver/nvidia/version", "r");
    *text = '\0';
    if (file == NULL)
        return;
    if (fgets(line, sizeof line, file) != NULL)
        for (char *state = NULL, *word = strtok_r(line, " \t\n", &state); word != NULL;
             word = strtok_r(NULL, " \t\n", &state))
            if (isdigit((unsigned char)*word) && strchr(word, '.') != NULL) {
                (void)snprintf(text, size, "%s", word);
                break;
            }
    (void)fclose(file);
}

/* CUDA's version that the driver's library knows, 13000 for 13.0; 0: there is no library. */
static int driver_version(void)
{
    int (*ask)(int *);
    int version = 0;
    void *library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    void *symbol = library != NULL ? dlsym(library, "cuDriverGetVersion") : NULL;
    if (symbol != NULL) {
        memcpy(&ask, &symbol, sizeof ask);
        if (ask(&version) != 0)
            version = 0;
    }
    return version; /* the library stays: it does not like to be unloaded */
}

static const char *advice_of(const char *reason, bool beside, bool library, bool module)
{
    if (strstr(reason, "cannot open shared object file") != NULL)
        return beside ? "install cuBLAS of CUDA 13 and cuDNN 9.15 or later, or name their folder in "
                        "LD_LIBRARY_PATH"
                      : "build dfal with CUDA: tools/setup --cuda ends with the line that does";
    if (!library && module)
        return "in a container: start it with its GPUs (docker run --gpus all, apptainer --nv)";
    if (!library)
        return "use a machine with an NVIDIA GPU and driver " NEEDED_DRIVER
               " or later; a container needs to be given them (docker run --gpus all)";
    if (strstr(reason, "driver knows CUDA") != NULL)
        return "update the NVIDIA driver to " NEEDED_DRIVER " or later";
    if (strstr(reason, "shows no GPU") != NULL)
        return "see what nvidia-smi and CUDA_VISIBLE_DEVICES say";
    return "";
}

dfal_status df_cuda_report(struct df_cuda_report *report, const char *reason)
{
    char module[64], *path = NULL;
    const int version = driver_version();
    *report = (struct df_cuda_report){{0}, {0}, ""};
    DF_TRY(df_cuda_find(&path));
    const bool beside = strchr(path, '/') != NULL;
    (void)snprintf(report->object, sizeof report->object, "%s%s", path,
                   beside ? "" : " is not beside libdfal: left to the loader");
    df_free(path);
    module_version(module, sizeof module);
    (void)snprintf(report->driver, sizeof report->driver, "%s%s", *module != '\0' ? module : "",
                   *module != '\0' ? ", " : "");
    const size_t used = strlen(report->driver);
    if (version > 0)
        (void)snprintf(report->driver + used, sizeof report->driver - used, "CUDA up to %d.%d",
                       version / 1000, version % 1000 / 10);
    else
        (void)snprintf(report->driver + used, sizeof report->driver - used, "%s",
                       *module != '\0' ? "its library libcuda.so.1 was not found" : "not found");
    if (reason != NULL)
        report->advice = advice_of(reason, beside, version > 0, *module != '\0');
    return DFAL_OK;
}
