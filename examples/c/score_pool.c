/* SPDX-License-Identifier: Apache-2.0 */
/* Score a pool from a C program: score_pool NET POOL SCORES.h5
 * Network and pool are what the command takes: network files or ONNX, pools or foreign HDF5. */
#include <dfal.h>
#include <signal.h>
#include <stdio.h>

static dfal_context *context;

/* Ctrl-C: the shards that are finished stay, and the same line continues. */
static void on_interrupt(int signal_number)
{
    (void)signal_number;
    dfal_context_stop(context);
}

static void on_event(void *user, const struct dfal_event *event)
{
    (void)user;
    if (event->level != DFAL_DEBUG)
        fprintf(stderr, "%s\n", event->text);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s NET POOL SCORES.h5\n", argv[0]);
        return dfal_status_exit_code(DFAL_E_USAGE);
    }
    struct dfal_context_options options;
    dfal_context_options_init(&options);
    options.event = on_event;
    dfal_status status = dfal_context_create(&context, &options);
    if (status == DFAL_OK) {
        struct dfal_score_result result;
        dfal_score_result_init(&result);
        signal(SIGINT, on_interrupt);
        status =
            dfal_score(context, &result, argv[3], argv[1], argv[2], NULL); /* NULL: the default options */
        if (status == DFAL_OK)
            printf("%lld samples in %.1f s, %lld OK, median margin %.4g\n", (long long)result.samples,
                   result.seconds, (long long)result.status[DFAL_SCORE_OK], result.margin_quantile[2]);
        dfal_context_destroy(context);
    }
    if (status != DFAL_OK)
        fprintf(stderr, "%s\n", dfal_last_error());
    return dfal_status_exit_code(status);
}
