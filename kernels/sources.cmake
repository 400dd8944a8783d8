# SPDX-License-Identifier: Apache-2.0
# What a GPU runs: built with nvcc for the CUDA back end, and as C++ for tests/simt.
set(DF_KERNELS bias blocks conv conv_gradient conv_narrow conv_wide fused fused_pooled half ops product split turn)
list(TRANSFORM DF_KERNELS REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/kernels/\\1.cu")
