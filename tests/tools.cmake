# SPDX-License-Identifier: Apache-2.0
# Tests that run the real command: tests/cli/*.py with the functions of each as one ctest.
find_program(PYTHON3 NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
function(df_cli_test script label)
  foreach(name ${ARGN})
    add_test(NAME cli_${script}_${name}
      COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/cli/${script}.py $<TARGET_FILE:dfal_tool> ${name})
    set_tests_properties(cli_${script}_${name} PROPERTIES LABELS ${label} TIMEOUT 300)
  endforeach()
endfunction()
df_cli_test(usage quick names operands numbers later help_texts documents streams)
