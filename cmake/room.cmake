# SPDX-License-Identifier: Apache-2.0
# df_room(NAME SOURCES a.c b.c DEPENDS df_base ... LIBRARIES PkgConfig::X ...)
function(df_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPENDS;LIBRARIES;INCLUDES" ${ARGN})
  add_library(df_${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(df_${name} PUBLIC df_flags ${ROOM_DEPENDS} PRIVATE ${ROOM_LIBRARIES})
  target_include_directories(df_${name} SYSTEM PRIVATE ${ROOM_INCLUDES})
endfunction()
