# SPDX-License-Identifier: Apache-2.0
# oneDNN's instruction set is chosen once a process, so each runs in its own.
df_test(cpu LINK df_backend)
df_test(cpu_planes LINK df_backend)
add_test(NAME cpu_avx2 COMMAND test_cpu avx2)
set_tests_properties(cpu_avx2 PROPERTIES SKIP_RETURN_CODE 77 LABELS quick TIMEOUT 300)
add_executable(bench_cpu_ops bench_cpu_ops.c)
target_link_libraries(bench_cpu_ops PRIVATE df_backend df_flags m)
