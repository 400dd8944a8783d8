/* SPDX-License-Identifier: Apache-2.0 */
/* Logits and input gradients of a network, for tests/peers: no command prints gradients.
 *
 *     tool_gradients BACKEND NET INPUTS COTANGENTS ROWS OUT
 *
 * INPUTS holds ROWS x [C,H,W] and COTANGENTS ROWS x K numbers, OUT gets ROWS x K logits, then ROWS x [C,H,W]
 * gradients (the vector-Jacobian products): raw float32 in, raw float64 out. Prints one line of JSON. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "graph/onnx.h"
#include "net/plan.h"
#include "store/network_file.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static dfal_status load(struct df_network **out, const char *path)
{
    size_t length = strlen(path);
    if (length > 5 && strcmp(path + length - 5, ".onnx") == 0)
        return df_onnx_load(out, NULL, path);
    return df_network_load(out, path);
}

static dfal_status read_floats(float **out, const char *path, int64_t count)
{
    dfal_status status = DFAL_OK;
    FILE *file = fopen(path, "rb");
    if (!file)
        DF_FAIL(DFAL_E_NOINPUT, "%s: cannot be opened", path);
    DF_TRY_TO(done, status, df_alloc(out, count, sizeof **out));
    if (fread(*out, sizeof **out, (size_t)count, file) != (size_t)count || getc(file) != EOF)
        status = df_fail(DFAL_E_DATA, "%s: expected %lld float32 numbers", path, (long long)count);
done:
    fclose(file);
    return status;
}

struct job {
    struct df_device *device;
    struct df_network *network;
    struct df_plan *plan;
    struct df_tape *tape;
    float *inputs, *cotangents;
    double *logits, *gradients;
    int64_t rows, size, classes;
    double load_seconds;
};

/* A chunk of rows at a time, as many as a library call takes. */
static dfal_status run(struct job *job)
{
    const struct df_backend *backend = job->device->backend;
    int64_t most = df_plan_block_rows(job->plan);
    DF_TRY(df_tape_create(&job->tape, job->plan, 0, most, most));
    for (int64_t first = 0; first < job->rows; first += most) {
        int64_t n = job->rows - first < most ? job->rows - first : most;
        struct df_span dinput;
        int32_t owners[64];
        for (int32_t i = 0; i < n; i++)
            owners[i] = i;
        DF_TRY(backend->write(job->device, 0, df_tape_input(job->tape), job->inputs + first * job->size,
                              n * job->size));
        DF_TRY(backend->write(job->device, 0, df_tape_cotangents(job->tape),
                              job->cotangents + first * job->classes, n * job->classes));
        DF_TRY(backend->write(job->device, 0, df_tape_owners(job->tape), owners, n));
        DF_TRY(df_tape_forward(job->tape, n));
        DF_TRY(df_tape_input_gradient(job->tape, n, 1, &dinput));
        DF_TRY(backend->synchronize(job->device, 0));
        DF_TRY(backend->read_f64(job->device, 0, job->logits + first * job->classes,
                                 df_tape_logits(job->tape), n * job->classes));
        DF_TRY(backend->read_f64(job->device, 0, job->gradients + first * job->size, dinput, n * job->size));
    }
    return DFAL_OK;
}

static dfal_status work(struct job *job, char **argv)
{
    double begin = now();
    DF_TRY(load(&job->network, argv[2]));
    job->load_seconds = now() - begin;
    DF_TRY(df_device_open(&job->device, argv[1], "auto", 1));
    DF_TRY(df_plan_create(&job->plan, job->device, job->network, DF_PLAN_FORWARD | DF_PLAN_INPUT_GRADIENT,
                          true));
    job->size = df_plan_input_size(job->plan);
    job->classes = df_plan_class_count(job->plan);
    DF_TRY(read_floats(&job->inputs, argv[3], job->rows * job->size));
    DF_TRY(read_floats(&job->cotangents, argv[4], job->rows * job->classes));
    DF_TRY(df_alloc(&job->logits, job->rows * job->classes, sizeof *job->logits));
    DF_TRY(df_alloc(&job->gradients, job->rows * job->size, sizeof *job->gradients));
    return run(job);
}

static dfal_status save(const struct job *job, const char *path)
{
    size_t logits = (size_t)(job->rows * job->classes), gradients = (size_t)(job->rows * job->size);
    FILE *file = fopen(path, "wb");
    if (!file)
        DF_FAIL(DFAL_E_IO, "%s: cannot be written", path);
    bool good = fwrite(job->logits, sizeof(double), logits, file) == logits &&
                fwrite(job->gradients, sizeof(double), gradients, file) == gradients;
    if (fclose(file) != 0 || !good)
        DF_FAIL(DFAL_E_IO, "%s: cannot be written", path);
    return DFAL_OK;
}

int main(int argc, char **argv)
{
    struct job job = {0};
    if (argc != 7 || (job.rows = strtoll(argv[5], NULL, 10)) < 1) {
        fprintf(stderr, "usage: tool_gradients BACKEND NET INPUTS COTANGENTS ROWS OUT\n");
        return 64;
    }
    double begin = now();
    dfal_status status = work(&job, argv);
    if (status == DFAL_OK)
        status = save(&job, argv[6]);
    if (status == DFAL_OK)
        printf(
            "{\"load_seconds\": %.6f, \"seconds\": %.6f, \"nodes\": %d, \"classes\": %lld, \"size\": %lld}\n",
            job.load_seconds, now() - begin, (int)job.network->node_count, (long long)job.classes,
            (long long)job.size);
    else
        fprintf(stderr, "tool_gradients: %s\n", dfal_last_error());
    df_tape_destroy(job.tape);
    df_plan_destroy(job.plan);
    df_device_close(job.device);
    df_network_destroy(job.network);
    df_free(job.inputs);
    df_free(job.cotangents);
    df_free(job.logits);
    df_free(job.gradients);
    return dfal_status_exit_code(status);
}
