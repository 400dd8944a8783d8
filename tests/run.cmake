# SPDX-License-Identifier: Apache-2.0
df_test(strategy LINK df_strategy)
df_test(config LINK df_run)
df_test(statistics LINK df_run)
df_test(process LINK df_run)
set(api ${PROJECT_SOURCE_DIR}/host/api)
df_test(run SOURCES run_fixture.c ${api}/run.c LINK df_report LABELS quick threads)
df_test(experiment SOURCES run_fixture.c ${api}/run.c LINK df_report)
df_test(jobs SOURCES run_fixture.c ${api}/run.c ${api}/bench_ops.c ${api}/train.c ${api}/training_state.c ${api}/progress.c ${api}/info.c ${api}/info_pool.c
  ${api}/facts.c LINK df_report LIBRARIES PkgConfig::JANSSON)
df_test(sized SOURCES ${api}/train.c ${api}/training_state.c LINK df_report LIBRARIES PkgConfig::JANSSON)
df_test(select SOURCES run_fixture.c ${api}/select.c ${api}/select_input.c ${api}/select_output.c
  ${api}/select_journal.c ${api}/eval.c LINK df_report LIBRARIES ${HDF5_C_LIBRARIES} PkgConfig::JANSSON LABELS quick threads)
target_include_directories(test_select SYSTEM PRIVATE ${HDF5_C_INCLUDE_DIRS})
# The softmax strategies held against NumPy. The system's python3 brings NumPy and SciPy.
find_program(PYTHON3 NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
add_test(NAME strategies_golden
  COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/golden/strategies.py $<TARGET_FILE:dfal_tool> ref,cpu)
set_tests_properties(strategies_golden PROPERTIES SKIP_RETURN_CODE 77 LABELS quick TIMEOUT 300)
# Its oracle stands where the simulated one would.
df_test(oracle SOURCES run_fixture.c ${api}/run.c LINK df_report)
target_link_options(test_oracle PRIVATE -Wl,--wrap=df_oracle_simulated)
