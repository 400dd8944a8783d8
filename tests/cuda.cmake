# SPDX-License-Identifier: Apache-2.0
# The CUDA back end where there may be no GPU: what it says, what it links, what cuDNN would run.
df_cli_test(cuda quick reasons doctor linked beside)
foreach(name reasons doctor linked beside)
  if(DFAL_CUDA_BUILT)
    set_tests_properties(cli_cuda_${name} PROPERTIES ENVIRONMENT "CUDA_LIBRARY=$<TARGET_FILE:dfal_cuda>")
  endif()
endforeach()
# What nvcc made of the kernels, and whether the model still knows them; cuobjdump and nvdisasm may be missing.
if(DFAL_CUDA_BUILT)
  add_test(NAME kernel_budget COMMAND ${PYTHON3} ${PROJECT_SOURCE_DIR}/tools/kernel-budget $<TARGET_FILE:dfal_cuda>
    --check ${CMAKE_CURRENT_SOURCE_DIR}/kernel_budget.txt --model)
  set_tests_properties(kernel_budget PROPERTIES LABELS quick SKIP_RETURN_CODE 77 TIMEOUT 600)
endif()
# On a GPU alone: tools/gpu-lane.
df_test(device_link LINK df_backend)
# NCCL as it is installed, as far as it goes without a GPU.
if(DFAL_CUDA_BUILT AND DFAL_NCCL_INCLUDE)
  df_test(nccl SOURCES ${PROJECT_SOURCE_DIR}/host/backend/cuda_nccl.c ${PROJECT_SOURCE_DIR}/host/backend/cuda_device.c LINK df_backend
    LIBRARIES CUDA::cudart_static ${CMAKE_DL_LIBS})
  target_include_directories(test_nccl SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS} ${DFAL_NCCL_INCLUDE})
  target_compile_definitions(test_nccl PRIVATE DFAL_NCCL)
endif()
