# SPDX-License-Identifier: Apache-2.0
# Several ranks on this host, by MPI: processes that mpirun starts, more than there are CPUs. As root too: a container has
# nobody else.
if(DFAL_MPI_BUILT)
  set(mpirun ${MPIEXEC_EXECUTABLE} --oversubscribe --mca btl self,vader --mca btl_vader_single_copy_mechanism none)
  set(as_root OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1)
  add_executable(test_ranks test_ranks.c)
  target_link_libraries(test_ranks PRIVATE df_comm df_flags)
  set_target_properties(test_ranks PROPERTIES BUILD_RPATH ${CMAKE_BINARY_DIR}/host/api)
  add_dependencies(test_ranks dfal_mpi)
  set(says ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/says.py)
  foreach(case collective:1 collective:2 collective:4 signalled:3 given_up:3 slow:3)
    string(REPLACE ":" ";" case ${case})
    list(GET case 0 name)
    list(GET case 1 ranks)
    add_test(NAME ranks_${name}_${ranks}
      COMMAND ${says} 0 ${mpirun} -np ${ranks} $<TARGET_FILE:test_ranks> ${name} -- "^${name}: ${ranks} ranks agree")
    set_tests_properties(ranks_${name}_${ranks} PROPERTIES LABELS quick TIMEOUT 60 ENVIRONMENT "${as_root}")
  endforeach()
  # The silent one is killed by mpirun when the others have ended.
  foreach(case silent:0:2 leaderless:1:2)
    string(REPLACE ":" ";" case ${case})
    list(GET case 0 name)
    list(GET case 1 first)
    list(GET case 2 second)
    add_test(NAME ranks_${name}
      COMMAND ${says} 1 ${mpirun} -np 3 $<TARGET_FILE:test_ranks> ${name} --
        "^${name}: rank ${first} does not wait" "^${name}: rank ${second} does not wait")
    set_tests_properties(ranks_${name} PROPERTIES LABELS long TIMEOUT 60 ENVIRONMENT "${as_root}")
  endforeach()
  list(JOIN mpirun " " mpirun_line)
  foreach(name same_files selected spread closest selected_closest selected_left experiments crews alone late killed first_killed
      signalled early failing soak refusals builds by_themselves)
    add_test(NAME cli_ranks_${name}
      COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/cli/ranks.py $<TARGET_FILE:dfal_tool> ${name})
    set_tests_properties(cli_ranks_${name} PROPERTIES LABELS full TIMEOUT 300 ENVIRONMENT "${as_root};DFAL_MPIRUN=${mpirun_line}")
  endforeach()
  set_tests_properties(cli_ranks_killed cli_ranks_first_killed cli_ranks_signalled cli_ranks_soak PROPERTIES LABELS long)
  set_tests_properties(cli_ranks_soak PROPERTIES TIMEOUT 1200)
endif()
