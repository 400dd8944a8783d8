/* SPDX-License-Identifier: Apache-2.0 */
/* dfal train: train a network on a pool's labelled rows and save it. */
#include <stdio.h>

#include "commands.h"
#include "print.h"

struct train_args {
    struct dfal_train_options train;
    struct pool_args pool;
    const char *net, *out;
};

static void init(void *user)
{
    struct train_args *args = user;
    dfal_train_options_init(&args->train);
}

static dfal_status run(struct session *session, void *user, const char *const *operands, int32_t count)
{
    struct train_args *args = user;
    struct dfal_train_result result;
    (void)count;
    dfal_train_result_init(&result);
    if (args->train.validation >= 1.0)
        return usage_error(DFAL_E_USAGE, "--validation is %g, expected a fraction below 1",
                           args->train.validation);
    if (args->train.patience > 0 && !(args->train.validation > 0.0))
        return usage_error(DFAL_E_USAGE, "--patience %d needs --validation F above 0", args->train.patience);
    args->train.pool = pool_args_options(&args->pool);
    dfal_status status =
        dfal_train(session->context, &result, args->out, args->net, operands[0], &args->train);
    if (status != DFAL_OK)
        return status;
    if (session->json)
        return print_json(OBJECT(MEMBER(&result, epochs), MEMBER(&result, loss),
                                 MEMBER(&result, validation_loss), MEMBER(&result, seconds),
                                 MEMBER(&result, training_seconds)));
    printf("%-20s %d\n%-20s %.6f\n", "epochs", result.epochs, "loss", result.loss);
    if (args->train.validation > 0.0)
        printf("%-20s %.6f\n", "validation loss", result.validation_loss);
    printf("%-20s %.2f\n", "seconds", result.seconds);
    const char *const words[] = {"eval", args->out, "TEST-POOL.h5"};
    note_next(session, words, COUNT_OF(words));
    return DFAL_OK;
}

#define S struct train_args
static const struct option options[] = {
    OPT(S, "net", 0, VALUE_TEXT, net, "lenet5|vgg8|NET",
        "the network's graph: a built-in name or a network file", .required = true, .reads = true),
    OPT(S, "output", 'o', VALUE_TEXT, out, "NET.h5", "the network to write", .required = true),
    OPT(S, "init", 0, VALUE_TEXT, train.init, "NET",
        "start from this network's parameters, of which --net takes only the graph (default: random, Glorot)",
        .reads = true),
    OPT(S, "epochs", 0, VALUE_NUMBER, train.epochs, "E", "epochs (default 12); 0 saves the initial weights",
        NUMBER(I32, 0, 1000000)),
    OPT(S, "batch", 0, VALUE_NUMBER, train.batch, "B", "samples of a step (default 32)",
        NUMBER(I32, 1, 1000000)),
    OPT(S, "optimizer", 0, VALUE_CHOICE, train.optimizer, DFAL_OPTIMIZERS,
        "how weights follow their gradients: Adam, or SGD with momentum 0.9, which wants another --lr "
        "(default adam)"),
    OPT(S, "lr", 0, VALUE_NUMBER, train.learning_rate, "RATE", "learning rate (default 1e-3)",
        NUMBER(REAL, 0, 1e6)),
    OPT(S, "subset", 0, VALUE_NUMBER, train.subset, "N",
        "train on N labelled rows drawn by --seed (default: all)", NUMBER(I64, 1, NO_LIMIT)),
    OPT(S, "restarts", 0, VALUE_NUMBER, train.restarts, "R",
        "train R times, keep the lowest loss (default 1)", NUMBER(I32, 1, 10000)),
    OPT(S, "patience", 0, VALUE_NUMBER, train.patience, "P",
        "stop after P epochs without a lower validation loss (default 0: never)", NUMBER(I32, 0, 1000000)),
    OPT(S, "validation", 0, VALUE_NUMBER, train.validation, "F",
        "fraction of the rows kept for validation (default 0)", NUMBER(REAL, 0, 1)),
    OPT(S, "augment", 0, VALUE_TEXT, train.augment, "KEY=VALUE,...",
        "each step sees its rows changed: up to shift=PIXELS, rotate=DEGREES, scale=FRACTION; "
        "erase=PROBABILITY of an emptied rectangle; flip=horizontal|vertical (default: as they are)"),
    POOL_OPTIONS(S, pool),
};

const struct command command_train = {
    .name = "train",
    .operands = "POOL",
    .summary = "Train a network on a pool's labelled rows and save it",
    .text = "With --json: {epochs, loss, validation_loss, seconds, training_seconds}; the last without "
            "reading\nthe rows and opening the device.",
    .options = options,
    .option_count = COUNT_OF(options),
    .least = 1,
    .most = 1,
    .size = sizeof(S),
    .init = init,
    .run = run,
};
