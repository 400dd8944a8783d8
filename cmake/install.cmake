# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: library, header, command, find_package and pkg-config files, manual page,
# completion.
include(CMakePackageConfigHelpers)

install(TARGETS dfal EXPORT dfal-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS dfal_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES host/dfal.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Beside libdfal, which loads it. NVIDIA's libraries are looked for beside it, in a folder `nvidia` as Python's packages
# have it, and where NVIDIA's own packages put them; then wherever the loader looks.
if(DFAL_CUDA_BUILT)
  install(TARGETS dfal_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  set_target_properties(dfal_cuda PROPERTIES INSTALL_RPATH
    "$ORIGIN;$ORIGIN/nvidia/cu${CUDAToolkit_VERSION_MAJOR}/lib;$ORIGIN/nvidia/cublas/lib;$ORIGIN/nvidia/cudnn/lib;/usr/local/cuda/lib64")
endif()

if(DFAL_MPI_BUILT)
  install(TARGETS dfal_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

# The command finds its library wherever the tree is moved to.
file(RELATIVE_PATH to_library ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(dfal_tool PROPERTIES INSTALL_RPATH "$ORIGIN/${to_library}")

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/dfal)
install(EXPORT dfal-targets NAMESPACE dfal:: DESTINATION ${package_folder})
configure_package_config_file(cmake/dfal-config.cmake.in ${CMAKE_BINARY_DIR}/dfal-config.cmake
  INSTALL_DESTINATION ${package_folder} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/dfal-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/dfal-config.cmake ${CMAKE_BINARY_DIR}/dfal-config-version.cmake
  DESTINATION ${package_folder})

# pkg-config wants paths below its prefix, and absolute ones as they are.
foreach(kind LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE ${CMAKE_INSTALL_${kind}})
    set(PC_${kind} ${CMAKE_INSTALL_${kind}})
  else()
    set(PC_${kind} "\${prefix}/${CMAKE_INSTALL_${kind}}")
  endif()
endforeach()
configure_file(cmake/dfal.pc.in ${CMAKE_BINARY_DIR}/dfal.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/dfal.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# The command itself prints its completion and the help that help2man turns into the manual page.
if(NOT CMAKE_CROSSCOMPILING AND NOT DFAL_SANITIZE)
  set(pages ${CMAKE_BINARY_DIR}/dfal.bash)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/dfal.bash DEPENDS dfal_tool
    COMMAND dfal_tool --help-completion > ${CMAKE_BINARY_DIR}/dfal.bash VERBATIM)
  install(FILES ${CMAKE_BINARY_DIR}/dfal.bash RENAME dfal
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  find_program(HELP2MAN help2man)
  if(EXISTS ${PROJECT_SOURCE_DIR}/docs/dfal.1)
    install(FILES docs/dfal.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  elseif(HELP2MAN)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/dfal.1 DEPENDS dfal_tool
      COMMAND ${HELP2MAN} --no-info --name "which samples to label next" --output ${CMAKE_BINARY_DIR}/dfal.1
        $<TARGET_FILE:dfal_tool> VERBATIM)
    install(FILES ${CMAKE_BINARY_DIR}/dfal.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    list(APPEND pages ${CMAKE_BINARY_DIR}/dfal.1)
  else()
    message(STATUS "help2man is not installed: no manual page")
  endif()
  add_custom_target(pages ALL DEPENDS ${pages})
endif()
