# SPDX-License-Identifier: Apache-2.0
df_test(strategy LINK df_strategy)
df_test(config LINK df_run)
df_test(statistics LINK df_run)
set(api ${PROJECT_SOURCE_DIR}/host/api)
df_test(run SOURCES run_fixture.c ${api}/run.c LINK df_report LABELS quick threads)
df_test(jobs SOURCES run_fixture.c ${api}/run.c ${api}/train.c ${api}/training_state.c ${api}/progress.c ${api}/info.c
  ${api}/facts.c LINK df_report LIBRARIES PkgConfig::JANSSON)
df_test(select SOURCES run_fixture.c ${api}/select.c ${api}/select_input.c ${api}/select_output.c
  ${api}/select_journal.c LINK df_report LIBRARIES ${HDF5_C_LIBRARIES} PkgConfig::JANSSON LABELS quick threads)
target_include_directories(test_select SYSTEM PRIVATE ${HDF5_C_INCLUDE_DIRS})
