# SPDX-License-Identifier: Apache-2.0
df_test(strategy LINK df_strategy)
df_test(config LINK df_run)
df_test(statistics LINK df_run)
