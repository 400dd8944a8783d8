/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations with a name. */
#include <string.h>

#include "base/word.h"
#include "run/config.h"

/* name, one line, YAML */
static const struct {
    const char *name, *summary, *yaml;
} presets[] = {
    {"quickstart", "LeNet5, DFAL against RANDOM, 3 trials; about two minutes of two idle cores",
     "network: lenet5\nstrategies: [dfal, random]\noptions: {dfal: {subsample: all}}\n"
     "initial: 20\nquery: 20\nannotations: 240\ntrials: 3\n"
     "training: {restarts: 1, epochs: 50, patience: 0, validation: 0, batch: 32, optimizer: adam, lr: "
     "1.0e-3}\n"},
/* The seven methods of the paper's table 1. CORE-SET by the output of the last layer, EGL as the published
 * code has it. */
#define PAPER(network, last)                                                                                 \
    "network: " network "\nstrategies: [dfal, bald, ceal, coreset, egl, entropy, random]\n"                  \
    "options:\n"                                                                                             \
    "  dfal: {subsample: 300, deepfool: dfal2018}\n"                                                         \
    "  bald: {subsample: 100, passes: 10}\n"                                                                 \
    "  ceal: {threshold: 0.05}\n"                                                                            \
    "  coreset: {subsample: 800, node: " last "}\n"                                                          \
    "  egl: {subsample: 300, paper-compat: 'yes'}\n"                                                         \
    "initial: 10\nquery: 10\nannotations: 1000\ntrials: 5\n"                                                 \
    "training: {restarts: 5, epochs: 100, patience: 5, validation: 0.2, split: rows, batch: 32, "            \
    "optimizer: adam, lr: 1.0e-3}\n"
    {"paper-mnist-lenet5",
     "Ducoffe and Precioso 2018 on MNIST with LeNet5: the seven methods of table 1, 1000 annotations, 5 "
     "trials, the paper's split; about 14 hours of two cores for dfal and random alone, ceal takes many "
     "times "
     "as long as both",
     PAPER("lenet5", "fc3")},
    {"paper-mnist-vgg8", "the same with VGG8; many times as long as LeNet5", PAPER("vgg8", "fc2")},
#undef PAPER
};
enum { PRESETS = sizeof presets / sizeof presets[0] };

dfal_status df_run_preset(const char **yaml, const char *name)
{
    const char *names[PRESETS];
    *yaml = NULL;
    for (int i = 0; i < PRESETS; i++) {
        names[i] = presets[i].name;
        if (!strcmp(name, names[i])) {
            *yaml = presets[i].yaml;
            return DFAL_OK;
        }
    }
    return df_fail_unknown(DFAL_E_USAGE, "preset", name, NULL, names, PRESETS);
}

void dfal_presets(dfal_fact_fn *fact, void *user)
{
    for (int i = 0; i < PRESETS; i++) {
        struct dfal_field field = {
            .key = presets[i].name, .kind = DFAL_FIELD_TEXT, .text = presets[i].summary};
        fact(user, &field);
    }
}
