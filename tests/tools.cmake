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
add_test(NAME trainer_torch COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/trainer_torch.py ${PROJECT_SOURCE_DIR})
set_tests_properties(trainer_torch PROPERTIES LABELS quick TIMEOUT 60)
df_cli_test(usage quick names operands numbers later help_texts documents completion streams)
df_cli_test(files quick broken_containers swapped lying_pools wrong_shapes label_files nonfinite evaluation_of_nonfinite kinds scaling
  same_pools outputs poisoned_memory full_disk full_tmpfs idx_files configurations)
df_cli_test(results quick json_keys confusion run_tables quiet terminal same_scores same_networks shards linear_margins clipped selections node_activations
  training)
# The command's surroundings, and those of a program that loads the library.
df_cli_test(process quick closed_descriptors pipes no_executable_memory host_descriptors strange_locale)
df_cli_test(process full german_locale)
add_executable(host_program host_program.c)
target_link_libraries(host_program PRIVATE df_flags ${CMAKE_DL_LIBS})
set_tests_properties(cli_process_host_descriptors cli_process_strange_locale cli_process_german_locale PROPERTIES
  ENVIRONMENT "HOST_PROGRAM=$<TARGET_FILE:host_program>;LIBDFAL=$<TARGET_FILE:dfal>;LSAN_OPTIONS=print_suppressions=0:suppressions=${CMAKE_CURRENT_SOURCE_DIR}/leaks.txt")
df_cli_test(own_networks quick commands same_networks refusals)
df_cli_test(labels quick carried everywhere disagreement refusals tables_of_others evil foreign tables)
df_cli_test(classes quick another_order other_names no_names training imported experiments starts test_pools draws)
df_cli_test(import quick arrays layouts bad_arrays archives bad_archives cifar10 bad_cifar10)
df_cli_test(reference quick agreement differences broken)
df_cli_test(budget quick estimate)
df_cli_test(changing quick resumed scores trained told old)
df_cli_test(trainer full arguments contents failures leftovers stops kills)
df_cli_test(selecting quick options keys sources probabilities left_out twins sheets sheet_shapes duplicates experiments)
df_cli_test(onnx quick commands imported softmax training refusals)
df_cli_test(device quick train score run)
foreach(name train score run)
  set_tests_properties(cli_device_${name} PROPERTIES ENVIRONMENT "LOST_BACKEND=$<TARGET_FILE:df_plugin_loss>")
endforeach()
df_cli_test(images quick folders bytes_scaling names bad_tables lists broken sizes formats links)
df_cli_test(images full kills stops changed full_disk)
df_cli_test(kills full synth import_idx train score merge run run_repeatedly stop_train bad_state stop_score stop_run
  stop_without_work)
df_cli_test(outputs quick apart apart_imports apart_model apart_runs unfinished_again owner)
if(NOT DFAL_SANITIZE) # whose runtime has to be loaded first
  add_library(df_preload MODULE preload.c)
  target_link_libraries(df_preload PRIVATE df_flags ${CMAKE_DL_LIBS})
  df_cli_test(outputs quick race without_locks killed kept_parts)
  foreach(name race without_locks killed kept_parts)
    set_tests_properties(cli_outputs_${name} PROPERTIES ENVIRONMENT "DFAL_TEST_PRELOAD=$<TARGET_FILE:df_preload>")
  endforeach()
endif()
if(NOT DFAL_SANITIZE) # a sanitizer keeps freed memory, and none runs under qemu
  df_cli_test(images full giant)
  df_cli_test(results quick bounded_memory)
  df_cli_test(budget full memory)
  df_cli_test(budget quick network scores)
  df_cli_test(import quick bounded)
  add_test(NAME cli_old_cpu COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/old_cpu.sh $<TARGET_FILE:dfal_tool>)
  set_tests_properties(cli_old_cpu PROPERTIES LABELS full SKIP_RETURN_CODE 77 TIMEOUT 120)
endif()
# The job behind `train`, with the library's inside in reach.
df_test(train_job SOURCES support_score.c support_device.c ../host/api/train.c ../host/api/training_state.c
  LINK df_score LABELS full LIBRARIES PkgConfig::JANSSON)
df_test(precision SOURCES support_score.c support_device.c support_network.c ../host/api/train.c ../host/api/training_state.c
  LINK df_score LABELS full LIBRARIES PkgConfig::JANSSON)
