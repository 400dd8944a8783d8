# SPDX-License-Identifier: Apache-2.0
df_test(strategy LINK df_strategy)
df_test(config LINK df_run)
df_test(statistics LINK df_run)
df_test(process LINK df_base)
df_test(run LINK df_api LABELS quick threads)
df_test(experiment LINK df_api)
df_test(jobs LINK df_api LIBRARIES PkgConfig::JANSSON)
df_test(sized LINK df_api)
df_test(select LINK df_api LIBRARIES ${HDF5_C_LIBRARIES} LABELS quick threads)
df_test(view LINK df_api LABELS quick threads)
df_test(neighbours LINK df_api LABELS quick threads)
target_include_directories(test_select SYSTEM PRIVATE ${HDF5_C_INCLUDE_DIRS})
# The softmax strategies held against NumPy. The system's python3 brings NumPy and SciPy.
find_program(PYTHON3 NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
add_test(NAME strategies_golden
  COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/golden/strategies.py $<TARGET_FILE:dfal_tool> ref,cpu)
set_tests_properties(strategies_golden PROPERTIES SKIP_RETURN_CODE 77 LABELS quick TIMEOUT 300)
df_test(oracle LINK df_api)
