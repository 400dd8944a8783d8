# SPDX-License-Identifier: Apache-2.0
# Debian's h5py belongs to /usr/bin/python3, whatever python3 comes first in PATH.
find_program(DFAL_TEST_PYTHON python3 HINTS /usr/bin NO_DEFAULT_PATH)
find_program(DFAL_TEST_PYTHON python3 REQUIRED)
df_test(store LINK df_store LIBRARIES ${HDF5_C_LIBRARIES} LABELS quick threads)
df_test(store_torture LINK df_store LIBRARIES ${HDF5_C_LIBRARIES})
df_test(labels LINK df_store)
df_test(arrays LINK df_io)
df_test(io LINK df_io LIBRARIES ZLIB::ZLIB)
df_test(store_foreign LINK df_store LIBRARIES ${HDF5_C_LIBRARIES})
foreach(test store store_torture store_foreign)
  target_include_directories(test_${test} SYSTEM PRIVATE ${HDF5_C_INCLUDE_DIRS})
  target_compile_definitions(test_${test} PRIVATE TEST_PYTHON="${DFAL_TEST_PYTHON}")
endforeach()
