/* SPDX-License-Identifier: Apache-2.0 */
/* dfal_doctor: versions, devices, CPU features, libraries, limits. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <jansson.h>

#include "backend/link.h"
#include "base/backend_name.h"
#include "base/limits.h"
#include "base/memory.h"
#include "facts.h"
#include "io/image.h"

/* Foreign headers stay in their rooms; these four only tell a version. */
int H5get_libversion(unsigned *major, unsigned *minor, unsigned *release);
const char *yaml_get_version_string(void);
const char *zlibVersion(void);

int32_t dfal_cpu_count(void)
{
    return df_cpu_count();
}

static void tell_libraries(const struct df_teller *teller)
{
    unsigned major = 0, minor = 0, release = 0;
    df_tell_text(teller, "version", "%s", DFAL_VERSION);
    df_tell_text(teller, "compiler", "%s %s", __VERSION__[0] >= '0' && __VERSION__[0] <= '9' ? "gcc" : "",
                 __VERSION__);
    df_tell_text(teller, "build", "%s", DF_BUILD_FLAGS);
    H5get_libversion(&major, &minor, &release);
    df_tell_text(teller, "hdf5", "%u.%u.%u, built with %s", major, minor, release, DF_HDF5_VERSION);
    struct df_device *device = NULL;
    if (df_device_open(&device, "cpu", "auto", 1) == DFAL_OK)
        df_tell_text(teller, "onednn", "%s", device->info.library);
    df_device_close(device);
    df_tell_text(teller, "jansson", "%s, built with %s", jansson_version_str(), JANSSON_VERSION);
    df_tell_text(teller, "libyaml", "%s", yaml_get_version_string());
    df_tell_text(teller, "zlib", "%s", zlibVersion());
    char pictures[DF_IMAGE_LIBRARIES];
    df_image_libraries(pictures);
    df_tell_text(teller, "pictures", "%s", pictures);
}

/* The CUDA back end's object and the driver; where it does not open, what to do. */
static void tell_cuda(const struct df_teller *teller, const char *reason)
{
    struct df_cuda_report report;
    if (df_cuda_report(&report, reason) != DFAL_OK)
        return;
    df_tell_text(teller, "cuda_object", "%s", report.object);
    df_tell_text(teller, "cuda_driver", "%s", report.driver);
    if (*report.advice != '\0')
        df_tell_text(teller, "cuda_advice", "%s", report.advice);
}

/* Does a back end open here? Its device and ISA, or the reason, which `reason` gets, too. */
static void tell_backend(const struct df_teller *teller, const char *name, char reason[DF_MESSAGE_SIZE])
{
    static const char refusal[] = " is not available: ";
    char key[48];
    struct df_device *device = NULL;
    *reason = '\0';
    snprintf(key, sizeof(key), "backend_%s", name);
    if (df_device_open(&device, name, "auto", 1) == DFAL_OK) {
        df_tell_text(teller, key, "works: %s%s%s%s%s", device->info.device,
                     device->info.isa[0] != '\0' ? ", " : "", device->info.isa,
                     device->info.library[0] != '\0' ? ", " : "", device->info.library);
    } else {
        df_message_get(reason);
        const char *said = strstr(reason, refusal);
        df_tell_text(teller, key, "not available: %s", said != NULL ? said + sizeof refusal - 1 : reason);
    }
    if (device != NULL && device->own_memory) {
        snprintf(key, sizeof(key), "backend_%s_free_bytes", name);
        df_tell_int(teller, key, device->backend->memory_free(device));
    }
    df_device_close(device);
}

/* What runs a convolution of many channels: cuDNN, unless it cannot here. */
static void tell_convolution(const struct df_teller *teller, struct df_device *device)
{
    const struct df_layer_desc desc = {
        .in = {64, 14, 14},
        .out = {64, 14, 14},
        .window = {.kernel = {3, 3}, .stride = {1, 1}, .pad = {1, 1, 1, 1}, .dilation = {1, 1}},
        .group = 1,
        .block_rows = 64,
        .forward = true,
        .backward = true};
    struct df_layer *layer = NULL;
    char text[256], reason[DF_MESSAGE_SIZE];
    if (device->backend->layer_create(device, &layer, &desc) != DFAL_OK) {
        df_message_get(reason);
        df_tell_text(teller, "cuda_convolution", "%s", reason);
        return;
    }
    device->backend->layer_text(device, layer, DF_LAYER_FORWARD, text, sizeof text);
    df_tell_text(teller, "cuda_convolution", "%s%s%s", text, *layer->fallback ? "; " : "", layer->fallback);
    device->backend->layer_destroy(device, layer);
}

/* What joins this GPU with those of other ranks (run --feed nccl). */
static void tell_link(const struct df_teller *teller, struct df_device *device)
{
    char text[DF_LINK_TEXT], reason[DF_MESSAGE_SIZE];
    if (!device->backend->link_text) {
        df_tell_text(teller, "nccl", "not built in: there was no nccl.h");
    } else if (device->backend->link_text(device, text) == DFAL_OK) {
        df_tell_text(teller, "nccl", "works: %s", text);
    } else {
        df_message_get(reason);
        df_tell_text(teller, "nccl", "%s", reason);
    }
}

/* GPUs behind the first, each as a back end of its own. */
static void tell_further(const struct df_teller *teller)
{
    char name[DF_DEVICE_NAME], reason[DF_MESSAGE_SIZE];
    struct df_device *first = NULL;
    if (df_device_open(&first, "cuda", "auto", 1) != DFAL_OK)
        return;
    const int32_t count = first->backend->device_count(first);
    tell_convolution(teller, first);
    tell_link(teller, first);
    df_device_close(first);
    df_tell_int(teller, "cuda_devices", count);
    for (int32_t i = 1; i < count; i++) {
        snprintf(name, sizeof name, "cuda:%d", i);
        tell_backend(teller, name, reason);
    }
}

static void tell_cpu(const struct df_teller *teller)
{
    char line[1024], model[256] = "unknown", features[256] = "";
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "model name : %255[^\n]", model) == 1)
            break;
    if (file != NULL)
        fclose(file);
#define FEATURE(name)                                                                                        \
    do {                                                                                                     \
        if (__builtin_cpu_supports(name))                                                                    \
            strcat(features, features[0] ? " " name : name);                                                 \
    } while (0)
    FEATURE("avx2");
    FEATURE("fma");
    FEATURE("bmi2");
    FEATURE("avx512f");
    FEATURE("avx512bw");
    FEATURE("avx512vl");
    FEATURE("avx512dq");
    FEATURE("avx512vnni");
    FEATURE("avx512bf16");
#undef FEATURE
    df_tell_text(teller, "cpu", "%s", model);
    df_tell_text(teller, "cpu_features", "%s", features);
}

static void tell_limits(const struct df_teller *teller, const dfal_context *context)
{
    struct df_limits limits;
    struct rlimit files;
    struct utsname name;
    df_limits_read(&limits, "");
    df_tell_int(teller, "cpus_online", sysconf(_SC_NPROCESSORS_ONLN));
    df_tell_int(teller, "cpus_usable", df_cpu_count());
    if (limits.cpus > 0.0)
        df_tell_real(teller, "cgroup_cpus", limits.cpus);
    else
        df_tell_text(teller, "cgroup_cpus", "no quota");
    df_tell_int(teller, "threads", context->threads);
    df_tell_text(teller, "executable_memory", "%s",
                 df_memory_may_execute() ? "allowed" : "denied: the cpu back end cannot run oneDNN's layers");
    df_tell_int(teller, "memory_available_bytes", df_memory_available());
    df_tell_int(teller, "memory_work_bytes", context->memory);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        df_tell_int(teller, "open_files_limit", (int64_t)files.rlim_cur);
    if (uname(&name) == 0)
        df_tell_text(teller, "kernel", "%s %s %s", name.sysname, name.release, name.machine);
}

/* HDF5 locks the files it opens; some network file systems refuse that. */
static void tell_locking(const struct df_teller *teller)
{
    int folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0 && flock(folder, LOCK_SH | LOCK_NB) == 0)
        df_tell_text(teller, "file_locking", "works in this folder");
    else
        df_tell_text(
            teller, "file_locking",
            "does not work in this folder; set HDF5_USE_FILE_LOCKING=FALSE if files cannot be opened");
    if (folder >= 0)
        close(folder);
}

/* Does what the context asks for work? `auto` needs the cpu alone. */
static dfal_status check_backend(const dfal_context *context)
{
    const char *name = context->options.backend;
    struct df_backend_name asked;
    struct df_device *device = NULL;
    DF_TRY(df_backend_name_read(&asked, name));
    DF_TRY(df_device_open(&device, asked.kind == DF_BACKEND_auto ? "cpu" : name, "auto", 1));
    const dfal_status status = df_group_check(device, context->options.allow_mixed);
    df_device_close(device);
    return status;
}

dfal_status dfal_doctor(dfal_context *context, dfal_fact_fn *fact, void *user)
{
    const struct df_teller teller = {fact, user};
    char reason[DF_MESSAGE_SIZE];
    tell_libraries(&teller);
    tell_cpu(&teller);
    tell_backend(&teller, "cpu", reason);
    tell_backend(&teller, "ref", reason);
    tell_backend(&teller, "cuda", reason);
    tell_cuda(&teller, *reason != '\0' ? reason : NULL);
    if (*reason == '\0')
        tell_further(&teller);
    tell_limits(&teller, context);
    tell_locking(&teller);
    return check_backend(context);
}
