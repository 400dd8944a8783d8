# SPDX-License-Identifier: Apache-2.0
foreach(name ops planes rows layer_ops)
  df_test(${name} SOURCES support_device.c LINK df_backend)
endforeach()
