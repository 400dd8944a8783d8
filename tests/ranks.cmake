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
  foreach(case collective:1 collective:2 collective:4 signalled:3 given_up:3)
    string(REPLACE ":" ";" case ${case})
    list(GET case 0 name)
    list(GET case 1 ranks)
    add_test(NAME ranks_${name}_${ranks} COMMAND ${mpirun} -np ${ranks} $<TARGET_FILE:test_ranks> ${name})
    set_tests_properties(ranks_${name}_${ranks} PROPERTIES LABELS quick TIMEOUT 60 ENVIRONMENT "${as_root}"
      PASS_REGULAR_EXPRESSION "${name}: ${ranks} ranks agree" FAIL_REGULAR_EXPRESSION "line [0-9]+: expected")
  endforeach()
  add_test(NAME ranks_silent COMMAND ${mpirun} -np 3 $<TARGET_FILE:test_ranks> silent)
  set_tests_properties(ranks_silent PROPERTIES LABELS long TIMEOUT 60 ENVIRONMENT "${as_root}"
    PASS_REGULAR_EXPRESSION "silent: rank 0 does not wait.*silent: rank 2 does not wait|silent: rank 2 does not wait.*silent: rank 0 does not wait"
    FAIL_REGULAR_EXPRESSION "line [0-9]+: expected")
  list(JOIN mpirun " " mpirun_line)
  foreach(name same_files selected spread closest selected_closest selected_left experiments late killed signalled soak refusals)
    add_test(NAME cli_ranks_${name}
      COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/cli/ranks.py $<TARGET_FILE:dfal_tool> ${name})
    set_tests_properties(cli_ranks_${name} PROPERTIES LABELS full TIMEOUT 300 ENVIRONMENT "${as_root};DFAL_MPIRUN=${mpirun_line}")
  endforeach()
  set_tests_properties(cli_ranks_killed cli_ranks_signalled cli_ranks_soak PROPERTIES LABELS long)
  set_tests_properties(cli_ranks_soak PROPERTIES TIMEOUT 1200)
endif()
