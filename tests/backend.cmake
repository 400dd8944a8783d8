# SPDX-License-Identifier: Apache-2.0
foreach(name ops activations batch join planes rows layer_ops half split gradients)
  df_test(${name} LINK df_backend)
endforeach()

df_test(timed LINK df_backend)
df_test(comm LINK df_comm)

# A back end that is not there is skipped, unless DFAL_REQUIRE names it.
add_test(NAME require COMMAND sh -c "\"$1\" dlopen:/nowhere.so; [ $? = 77 ] || exit 1; \
DFAL_REQUIRE=cuda,dlopen \"$1\" dlopen:/nowhere.so; [ $? = 1 ]" require $<TARGET_FILE:test_rows>)
set_tests_properties(require PROPERTIES LABELS quick TIMEOUT 60)

# Back ends in shared objects: an honest one, one with a fault in it, one of another time, one that gives up.
df_test(check LINK df_backend)
df_test(op_call LINK df_backend)
foreach(variant "" _bug _abi _loss)
  add_library(df_plugin${variant} MODULE plugin.c ../host/backend/object.c ../host/base/shared_object_host.c)
  target_link_libraries(df_plugin${variant} PRIVATE df_backend df_flags)
  string(TOUPPER "${variant}" suffix)
  if(variant)
    target_compile_definitions(df_plugin${variant} PRIVATE PLANT${suffix})
  endif()
  target_compile_definitions(test_check PRIVATE PLUGIN${suffix}="$<TARGET_FILE:df_plugin${variant}>")
  add_dependencies(test_check df_plugin${variant})
endforeach()

# The whole pipeline once more with every op compared between the reference and the cpu back end.
foreach(name plan row_gradients nodes train deepfool deepfool_loop)
  add_test(NAME ${name}_checked COMMAND test_${name} check:ref:cpu)
  set_tests_properties(${name}_checked PROPERTIES SKIP_RETURN_CODE 77 LABELS full TIMEOUT 300)
endforeach()
# The two that take half a minute repeat on two back ends what the others have compared.
set_tests_properties(deepfool_checked deepfool_loop_checked PROPERTIES LABELS long)

# The CUDA libraries' engines, as far as they go without a GPU: cuDNN makes plans from a text of properties, and cublasLt
# is the test's own.
if(DFAL_CUDA_BUILT)
  df_test(cudnn_plans SOURCES ../host/backend/cuda_graph.c ../host/backend/cuda_plan.c
    ../host/backend/cuda_cudnn.c ../host/backend/op_info.c LINK df_tensor LIBRARIES CUDNN::cudnn)
  foreach(name cudnnCreate cudnnDestroy cudnnSetStream cudnnBackendSetAttribute cudnnBackendExecute)
    target_link_options(test_cudnn_plans PRIVATE LINKER:--wrap=${name})
  endforeach()
  df_test(cublas SOURCES ../host/backend/cuda_cublas.c LINK df_tensor)
  foreach(name cudnn_plans cublas)
    target_compile_definitions(test_${name} PRIVATE DFAL_CUDA_LIBRARIES)
    target_include_directories(test_${name} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  endforeach()
  # The times behind cuda_plan.c's preferences (docs/PERFORMANCE.md), run by hand where a GPU is. The test has it list what
  # it would time.
  add_executable(cudnn_probe probe/cudnn_probe.c probe/cudnn_engines.c probe/cudnn_timer.c
    ../host/backend/cuda_graph.c ../host/backend/cuda_plan.c ../host/backend/op_info.c)
  target_link_libraries(cudnn_probe PRIVATE test_support df_tensor df_flags CUDA::cudart_static CUDNN::cudnn m)
  target_include_directories(cudnn_probe SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  add_test(NAME cudnn_probe COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/probe/list.py $<TARGET_FILE:cudnn_probe>)
  set_tests_properties(cudnn_probe PROPERTIES LABELS quick TIMEOUT ${DFAL_TEST_TIMEOUT})
endif()

# The kernels as CUDA, compiled but not run: the same functions must please both compilers. Where the back end is built,
# its own compilation shows that.
find_program(DFAL_NVCC nvcc HINTS /usr/local/cuda/bin)
foreach(name ops blocks)
  if(DFAL_CUDA_BUILT)
    break()
  elseif(DFAL_NVCC)
    add_test(NAME kernels_cuda_${name} COMMAND ${DFAL_NVCC} -arch=sm_90 -fmad=false -std=c++17 -Werror all-warnings
      -Xcompiler -Wall,-Wextra,-Wshadow -I ${PROJECT_SOURCE_DIR}/kernels -I ${RANDOM123_INCLUDE}
      -c ${PROJECT_SOURCE_DIR}/kernels/${name}.cu -o ${CMAKE_CURRENT_BINARY_DIR}/kernels_${name}.o)
  else()
    add_test(NAME kernels_cuda_${name} COMMAND sh -c "echo 'not run: nvcc was not found'; exit 77")
  endif()
  set_tests_properties(kernels_cuda_${name} PROPERTIES SKIP_RETURN_CODE 77 LABELS full TIMEOUT 300)
endforeach()
