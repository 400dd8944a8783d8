# SPDX-License-Identifier: Apache-2.0
# Tests of the tree itself: layers, the installed package.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME layers COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/check-layers)
add_test(NAME layers_self_test COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/check-layers --self-test)
add_test(NAME events COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/events.py ${PROJECT_SOURCE_DIR})
add_test(NAME abi COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/abi.py ${CMAKE_C_COMPILER} ${PROJECT_SOURCE_DIR})
add_test(NAME where_to_add COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/where_to_add.py ${PROJECT_SOURCE_DIR})
add_test(NAME docs COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/docs.py)
add_test(NAME docs_self_test COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/docs.py --self-test)
set_tests_properties(layers layers_self_test events abi where_to_add docs docs_self_test PROPERTIES LABELS quick TIMEOUT 60)
# A program outside the build cannot load a library that wants a sanitizer's run time.
if(NOT DFAL_SANITIZE)
  add_test(NAME install COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/install.sh ${CMAKE_COMMAND} ${CMAKE_BINARY_DIR}
    ${CMAKE_C_COMPILER})
  set_tests_properties(install PROPERTIES LABELS full TIMEOUT 120)
  add_test(NAME bundle COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bundle.sh ${CMAKE_BINARY_DIR})
  set_tests_properties(bundle PROPERTIES LABELS long SKIP_RETURN_CODE 77 TIMEOUT 300)
endif()
add_test(NAME setup COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/setup.sh)
set_tests_properties(setup PROPERTIES LABELS quick TIMEOUT 60)
