/* SPDX-License-Identifier: Apache-2.0 */
#include "report/paper.h"

#include <string.h>

const int64_t df_paper_marks[DF_PAPER_MARKS] = {100, 500, 800, 1000};

/* Tables 1, 2 and 4. What the paper calls uncertainty is entropy here. CORE-SET and EGL on Shoe-Bag with VGG8
 * stand in its table 1 as 0.50 at 100 annotations: a fraction, chance, among percents. */
static const struct df_paper experiments[] = {
    {"mnist",
     "lenet5",
     99.04,
     {{"dfal", {82.77, 96.23, 97.71, 98.02}, 1210, 97.80},
      {"bald", {51.88, 91.96, 93.69, 94.24}, 0, 0},
      {"ceal", {71.81, 94.81, 96.77, 97.33}, 6000, 0},
      {"coreset", {78.86, 96.52, 97.53, 98.03}, 1810, 96.90},
      {"egl", {58.44, 73.86, 78.57, 78.57}, 0, 0},
      {"entropy", {57.96, 92.52, 94.84, 96.41}, 0, 0},
      {"random", {77.56, 92.83, 94.63, 95.31}, 0, 94.46}}},
    {"mnist",
     "vgg8",
     98.98,
     {{"dfal", {84.28, 96.90, 97.98, 98.59}, 980, 97.93},
      {"bald", {53.73, 91.47, 94.32, 94.32}, 0, 0},
      {"ceal", {50.87, 90.69, 90.69, 90.69}, 0, 0},
      {"coreset", {78.80, 96.68, 97.46, 97.88}, 1270, 97.40},
      {"egl", {37.92, 91.84, 93.99, 93.99}, 0, 0},
      {"entropy", {45.57, 88.36, 94.27, 94.60}, 2800, 0},
      {"random", {69.79, 91.96, 94.05, 94.46}, 0, 95.31}}},
    {"shoebag",
     "lenet5",
     99.70,
     {{"dfal", {94.62, 98.50, 98.98, 99.10}, 1070, 99.40},
      {"bald", {93.10, 97.95, 97.95, 97.95}, 0, 0},
      {"ceal", {84.65, 98.50, 99.00, 99.12}, 1130, 0},
      {"coreset", {92.50, 98.75, 99.07, 99.25}, 860, 99.12},
      {"egl", {75.07, 95.47, 95.47, 95.47}, 0, 0},
      {"entropy", {95.78, 98.35, 98.85, 98.98}, 0, 0},
      {"random", {95.50, 98.07, 98.07, 98.07}, 0, 97.08}}},
    {"shoebag",
     "vgg8",
     99.50,
     {{"dfal", {87.73, 98.53, 99.30, 99.50}, 530, 98.75},
      {"bald", {86.78, 95.35, 97.83, 97.83}, 0, 0},
      {"ceal", {84.20, 98.78, 99.25, 99.52}, 580, 0},
      {"coreset", {50.00, 99.12, 99.12, 99.12}, 400, 98.50},
      {"egl", {50.00, 97.28, 97.28, 97.28}, 0, 0},
      {"entropy", {83.75, 83.75, 83.75, 83.75}, 0, 0},
      {"random", {86.78, 95.83, 97.08, 97.08}, 0, 98.07}}},
    {"quickdraw",
     "lenet5",
     95.46,
     {{"dfal", {82.56, 89.63, 90.72, 91.09}, 7470, 92.87},
      {"bald", {72.65, 87.18, 88.34, 88.45}, 0, 0},
      {"ceal", {70.46, 87.04, 88.31, 89.39}, 0, 0},
      {"coreset", {79.58, 88.93, 90.54, 90.53}, 8590, 91.06},
      {"egl", {57.48, 64.05, 64.05, 69.85}, 0, 0},
      {"entropy", {69.24, 86.89, 88.54, 89.09}, 10590, 0},
      {"random", {78.09, 87.03, 88.98, 89.42}, 0, 89.94}}},
    {"quickdraw",
     "vgg8",
     96.75,
     {{"dfal", {84.23, 91.52, 93.16, 93.91}, 4810, 89.23},
      {"bald", {82.00, 89.94, 91.92, 92.87}, 5590, 0},
      {"ceal", {64.45, 79.66, 85.73, 88.65}, 0, 0},
      {"coreset", {66.71, 89.93, 92.28, 92.62}, 6750, 89.41},
      {"egl", {63.12, 86.80, 90.06, 90.06}, 0, 0},
      {"entropy", {52.77, 88.05, 89.31, 91.03}, 0, 0},
      {"random", {78.28, 88.13, 89.71, 89.94}, 0, 89.42}}},
};

const struct df_paper *df_paper_find(const struct df_run_config *config)
{
    for (size_t i = 0; i < sizeof experiments / sizeof experiments[0]; i++)
        if (!strcmp(experiments[i].data, config->paper) && !strcmp(experiments[i].network, config->network))
            return &experiments[i];
    return NULL;
}

const struct df_paper_method *df_paper_method(const struct df_paper *paper, const char *strategy)
{
    for (int i = 0; paper && i < DF_PAPER_METHODS; i++)
        if (!strcmp(paper->method[i].strategy, strategy))
            return &paper->method[i];
    return NULL;
}
