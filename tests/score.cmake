# SPDX-License-Identifier: Apache-2.0
foreach(name bound budget closest deepfool deepfool_loop group residency resident_pool score)
  df_test(${name} LINK df_api LABELS quick threads)
endforeach()
df_test(quantile LINK df_score)
df_test(pool_rows LINK df_score)
df_test(least LINK df_score LABELS quick threads)
df_test(output LINK df_score LABELS quick threads)
# A command for every row that exists in this test alone.
df_test(job LINK df_score LABELS quick threads)
df_test(score_torture LINK df_api LABELS full)
foreach(job stopped closest)
  add_test(NAME score_torture_${job} COMMAND test_score_torture ${job})
  set_tests_properties(score_torture_${job} PROPERTIES LABELS long TIMEOUT ${DFAL_TEST_TIMEOUT})
endforeach()
df_test_in_memory(score_torture score_torture_stopped score_torture_closest output job group)
# The trajectories replayed in float64 by a script that shares no line with dfal. The system's python3 brings NumPy.
add_test(NAME score_replay
  COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/golden/replay.py $<TARGET_FILE:dfal_tool> ref,cpu)
set_tests_properties(score_replay PROPERTIES SKIP_RETURN_CODE 77 LABELS long TIMEOUT 600)
