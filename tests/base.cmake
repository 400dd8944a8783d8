# SPDX-License-Identifier: Apache-2.0
df_test(base LINK df_base df_tensor df_comm LABELS quick threads)
df_test(rng LINK df_base)
target_include_directories(test_rng SYSTEM PRIVATE ${RANDOM123_INCLUDE})
df_test(team LINK df_base LABELS quick threads)
df_test(file LINK df_base)
df_test(text_file LINK df_base)
df_test(parts LINK df_base)
df_test(limits LINK df_base)
