# SPDX-License-Identifier: Apache-2.0
# The CUDA back end where there may be no GPU: what it says, what it links, what cuDNN would run.
df_cli_test(cuda quick reasons doctor linked beside)
foreach(name reasons doctor linked beside)
  if(DFAL_CUDA_BUILT)
    set_tests_properties(cli_cuda_${name} PROPERTIES ENVIRONMENT "CUDA_LIBRARY=$<TARGET_FILE:dfal_cuda>")
  endif()
endforeach()
