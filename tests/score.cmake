# SPDX-License-Identifier: Apache-2.0
foreach(name deepfool score)
  df_test(${name} SOURCES support_score.c support_device.c LINK df_score LABELS quick threads)
endforeach()
