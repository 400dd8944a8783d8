# SPDX-License-Identifier: Apache-2.0
# What other people's software says about dfal's numbers: files made by PyTorch beforehand (a plain test), and the tool that
# tests/peers/*.py ask for input gradients, which no command prints.
df_test(onnx_golden LINK df_net df_store LIBRARIES ${HDF5_C_LIBRARIES})
target_include_directories(test_onnx_golden SYSTEM PRIVATE ${HDF5_C_INCLUDE_DIRS})
add_executable(tool_gradients tool_gradients.c)
target_link_libraries(tool_gradients PRIVATE df_net df_store df_flags m)
