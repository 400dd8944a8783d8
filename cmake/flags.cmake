# SPDX-License-Identifier: Apache-2.0
# Flags every target gets. Two laws from the first day: no implicit contraction and no fast-math, so that the
# arithmetic written in kernels/ has the same bits wherever it runs.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

add_library(df_flags INTERFACE)
target_compile_definitions(df_flags INTERFACE _GNU_SOURCE)
set(warnings -Wall -Wextra -Wshadow -Wpointer-arith)
target_compile_options(df_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off;-fno-math-errno;-fno-trapping-math;${warnings};-Wvla>"
  "$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>")
# The host's side of .cu files is compiled with every warning but those that nvcc's own code earns.
list(JOIN warnings "," listed)
target_compile_options(df_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-Xcompiler=-ffp-contract=off,${listed}>")
# x86-64-v3 is the baseline (fmaf is an instruction there); cmake/../host/backend adds AVX-512 to single files.
set(DFAL_BASELINE "-march=x86-64-v3")
target_compile_options(df_flags INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:${DFAL_BASELINE}>)
# `omp simd` asks for vectors; clang's word that it found none at low optimisation is no defect.
if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
  target_compile_options(df_flags INTERFACE -Wno-pass-failed)
endif()
target_include_directories(df_flags INTERFACE
  ${PROJECT_SOURCE_DIR}/host ${PROJECT_SOURCE_DIR}/kernels ${PROJECT_SOURCE_DIR})

# Ranks of different builds refuse each other by it (host/base/build_id.h).
target_link_options(df_flags INTERFACE -Wl,--build-id=sha1)

if(DFAL_SANITIZE STREQUAL "address")
  target_compile_options(df_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer)
  target_link_options(df_flags INTERFACE -fsanitize=address,undefined)
elseif(DFAL_SANITIZE STREQUAL "thread")
  target_compile_options(df_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(df_flags INTERFACE -fsanitize=thread)
elseif(DFAL_SANITIZE)
  message(FATAL_ERROR "DFAL_SANITIZE is '${DFAL_SANITIZE}', expected address, thread or nothing")
endif()

if(DFAL_OPTIMIZE_DEBUG)
  target_compile_options(df_flags INTERFACE $<$<AND:$<CONFIG:Debug>,$<COMPILE_LANGUAGE:C,CXX>>:-O1;-g1>)
endif()
if(DFAL_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "DFAL_FUZZ needs clang, the compiler is ${CMAKE_C_COMPILER_ID}: cmake --preset fuzz")
  endif()
  target_compile_options(df_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
