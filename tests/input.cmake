# SPDX-License-Identifier: Apache-2.0
# Tests that read what strangers wrote, or make allocations and files fail, get the label `input`: they run under the
# sanitizers in every tools/check, built by the target `input_tests`. Arithmetic does so in tools/check --all.
set(units base identity text_file file claim parts limits store store_torture store_foreign labels changing arrays io image image_formats network fold
  onnx onnx_bad onnx_golden config process statistics strategy run experiment job jobs select solver oracle output
  quantile)
add_custom_target(input_tests DEPENDS dfal_tool host_program)
foreach(name ${units})
  add_dependencies(input_tests test_${name})
  set_property(TEST ${name} APPEND PROPERTY LABELS input)
endforeach()
get_property(tests DIRECTORY PROPERTY TESTS)
foreach(name ${tests})
  get_property(labels TEST ${name} PROPERTY LABELS)
  if(name MATCHES "^cli_(usage|files|import|images|labels|onnx|own_networks|reference|outputs|changing|classes)(_|$)"
      AND "quick" IN_LIST labels)
    set_property(TEST ${name} APPEND PROPERTY LABELS input)
  endif()
endforeach()
