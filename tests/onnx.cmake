# SPDX-License-Identifier: Apache-2.0
# The reader of ONNX files, on models that the tests make with its own messages.
foreach(test onnx onnx_shapes onnx_bad)
  df_test(${test} SOURCES onnx_fixture.c onnx_builder.c LINK df_net)
  target_include_directories(test_${test} SYSTEM PRIVATE ${PROJECT_BINARY_DIR}/host/graph/onnx)
  target_link_libraries(test_${test} PRIVATE PkgConfig::PROTOBUF_C)
endforeach()
