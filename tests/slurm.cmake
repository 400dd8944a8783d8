# SPDX-License-Identifier: Apache-2.0
# Jobs on a Slurm of the test's own, two nodes on this host; skipped where Slurm is not installed (tools/setup test does it).
if(NOT DFAL_SANITIZE) # whose processes are too slow to be killed in the right moment
  set(slurm_jobs ${CMAKE_CURRENT_SOURCE_DIR}/slurm/inside.sh ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/slurm/jobs.py
    $<TARGET_FILE:dfal_tool>)
  foreach(name short signals kills cancelled cap two_jobs no_pool array run trials gpus)
    add_test(NAME slurm_${name} COMMAND ${slurm_jobs} ${name})
    set_tests_properties(slurm_${name} PROPERTIES LABELS long SKIP_RETURN_CODE 77 TIMEOUT 300)
  endforeach()
  set_tests_properties(slurm_short PROPERTIES LABELS full)
  if(DFAL_MPI_BUILT)
    foreach(name ranks rank_runs)
      add_test(NAME slurm_${name} COMMAND ${slurm_jobs} ${name})
      set_tests_properties(slurm_${name} PROPERTIES LABELS long SKIP_RETURN_CODE 77 TIMEOUT 300)
    endforeach()
    set_tests_properties(slurm_short slurm_ranks slurm_rank_runs PROPERTIES ENVIRONMENT
      "DFAL_MPIRUN=${MPIEXEC_EXECUTABLE};OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
  endif()
endif()
