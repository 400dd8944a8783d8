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
/* As the paper trains. */
#define PAPER_TRAINING                                                                                       \
    "training: {restarts: 5, epochs: 100, patience: 5, validation: 0.2, split: rows, batch: 32, "            \
    "optimizer: adam, lr: 1.0e-3}\n"
/* The seven methods of the paper's table 1. CORE-SET by the output of the last layer, EGL as the published
 * code has it. */
#define PAPER(data, network, last, threshold)                                                                \
    "network: " network "\nstrategies: [dfal, bald, ceal, coreset, egl, entropy, random]\n"                  \
    "options:\n"                                                                                             \
    "  dfal: {subsample: 300, deepfool: dfal2018}\n"                                                         \
    "  bald: {subsample: 100, passes: 10}\n"                                                                 \
    "  ceal: {threshold: " threshold "}\n"                                                                   \
    "  coreset: {subsample: 800, node: " last "}\n"                                                          \
    "  egl: {subsample: 300, paper-compat: 'yes'}\n"                                                         \
    "initial: 10\nquery: 10\nannotations: 1000\ntrials: 5\nreport: {paper: " data "}\n" PAPER_TRAINING
    {"paper-mnist-lenet5",
     "Ducoffe and Precioso 2018 on MNIST with LeNet5: the seven methods of table 1, 1000 annotations, 5 "
     "trials, the paper's split; about 2 hours of two cores for dfal and random alone, ceal takes many "
     "times as long as both",
     PAPER("mnist", "lenet5", "fc3", "0.05")},
    {"paper-mnist-vgg8", "the same with VGG8; many times as long as LeNet5",
     PAPER("mnist", "vgg8", "fc2", "0.05")},
    {"paper-quickdraw-lenet5",
     "the same on Quick-Draw (four classes of 28x28) with LeNet5: ceal's threshold is 0.08; a step costs "
     "what it costs on MNIST",
     PAPER("quickdraw", "lenet5", "fc3", "0.08")},
    {"paper-quickdraw-vgg8", "the same with VGG8; a step takes about sixty times LeNet5's",
     PAPER("quickdraw", "vgg8", "fc2", "0.08")},
    {"paper-shoebag-lenet5",
     "the same on Shoe-Bag (two classes of 64x64 RGB) with LeNet5: ceal's threshold is 0.19; twelve times "
     "the arithmetic of LeNet5 on MNIST",
     PAPER("shoebag", "lenet5", "fc3", "0.19")},
    {"paper-shoebag-vgg8", "the same with VGG8; six times the arithmetic of VGG8 on MNIST",
     PAPER("shoebag", "vgg8", "fc2", "0.19")},
    {"table2",
     "table 2 on MNIST with LeNet5: dfal, coreset and ceal to 6000 annotations, to find where each comes "
     "within 0.5 points of the full set; about two days of two cores for dfal alone, with query: 100 a "
     "tenth of that",
     "network: lenet5\nstrategies: [dfal, coreset, ceal]\n"
     "options:\n"
     "  dfal: {subsample: 300, deepfool: dfal2018}\n"
     "  coreset: {subsample: 800, node: fc3}\n"
     "  ceal: {threshold: 0.05}\n"
     "initial: 10\nquery: 10\nannotations: 6000\ntrials: 5\nreport: {paper: mnist}\n" PAPER_TRAINING},
    {"table4",
     "table 4 on MNIST: LeNet5 selects to 1000 annotations, VGG8 is trained on the same rows; dfal, coreset "
     "and random, 5 trials; about a day and a half of two cores. The other way: network: vgg8, transfer: "
     "lenet5 and options.coreset.node: fc2",
     "network: lenet5\ntransfer: vgg8\nstrategies: [dfal, coreset, random]\n"
     "options:\n"
     "  dfal: {subsample: 300, deepfool: dfal2018}\n"
     "  coreset: {subsample: 800, node: fc3}\n"
     "initial: 10\nquery: 10\nannotations: 1000\ntrials: 5\nreport: {paper: mnist}\n" PAPER_TRAINING},
    {"modern-mnist",
     "the best that the trainer reaches with 1000 labels of MNIST: VGG8, every label trained on, rows "
     "augmented, dfal, margin and badge with random beside them, 5 trials; about a day of two idle cores",
     "network: vgg8\nstrategies: [dfal, margin, badge, random]\nsubsample: 2000\n"
     "initial: 100\nquery: 100\nannotations: 1000\ntrials: 5\n"
     "training: {restarts: 1, epochs: 100, patience: 0, validation: 0, batch: 32, optimizer: adam, lr: "
     "1.0e-3, augment: {shift: 2, rotate: 10, scale: 0.1}}\n"},
    {"qbdc-mnist",
     "Ducoffe and Precioso 2015 on MNIST with LeNet5: the committee of qbdc against random up to 30 % of "
     "the labels, with which it is said to reach the full set's error, 3 trials; about three hours of two "
     "idle cores",
     "network: lenet5\nstrategies: [qbdc, random]\noptions: {qbdc: {subsample: 1920}}\n"
     "initial: 500\nquery: 500\nannotations: 18000\ntrials: 3\n"
     "training: {restarts: 1, epochs: 50, patience: 0, validation: 0, batch: 32, optimizer: adam, lr: "
     "1.0e-3}\n"},
/* Who chooses, and whether its queries bring twins. */
#define STUDY(training)                                                                                      \
    "network: lenet5\nstrategies:\n"                                                                         \
    "- dfal\n- {name: dfal+twins, strategy: dfal, options: {twins: true}}\n"                                 \
    "- margin\n- {name: margin+twins, strategy: margin, options: {twins: true}}\n"                           \
    "- entropy\n- {name: entropy+twins, strategy: entropy, options: {twins: true}}\n"                        \
    "- random\n- {name: random+twins, strategy: random, options: {twins: true}}\n"                           \
    "- badge\n- {name: badge+twins, strategy: badge, options: {twins: true}}\n"                              \
    "- coreset\n- {name: coreset+twins, strategy: coreset, options: {twins: true}}\n"                        \
    "options: {dfal: {twins: false}}\n"                                                                      \
    "initial: 10\nquery: 10\nannotations: 300\nsubsample: 300\ntrials: 20\n"                                 \
    "report: {primary: 'dfal+twins against margin, dfal+twins against random'}\n"                            \
    "training: {restarts: 1, " training                                                                      \
    ", patience: 0, validation: 0, batch: 32, optimizer: adam, lr: 1.0e-3}\n"
    {"study",
     "dfal, margin, entropy, random, badge and coreset, each without twins (dfal, too) and with them, equal "
     "epochs, 20 trials to 300 annotations with LeNet5; about two and a half hours of two cores",
     STUDY("epochs: 100")},
    {"study-steps",
     "the same with equal optimiser steps, so that twins bring no longer training; about three hours of two "
     "cores",
     STUDY("steps: 1000")},
#undef PAPER_TRAINING
#undef PAPER
#undef STUDY
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
