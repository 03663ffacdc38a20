# What the three Cortex-M toolchain files share. PYEDGE_MARCH: cortex-m4f (DSP, floats) or cortex-m55 (integer MVE,
# floats and doubles).
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR cortexm)
set(CMAKE_C_COMPILER_WORKS 1) # there is no libc for CMake's test program to link with
set(CMAKE_ASM_COMPILER_WORKS 1)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PYEDGE_MARCH)
if(NOT PYEDGE_MARCH)
  set(PYEDGE_MARCH cortex-m4f)
endif()
# No float vectors: MVE computes with flush to zero, which are other bits.
if(PYEDGE_MARCH STREQUAL cortex-m4f)
  set(PYEDGE_CPU "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard -mthumb")
  set(PYEDGE_ZIG_CPU cortex_m4)
  set(PYEDGE_ARMV7EM ON)
elseif(PYEDGE_MARCH STREQUAL cortex-m55)
  set(PYEDGE_CPU "-mcpu=cortex-m55+nomve.fp -mfloat-abi=hard -mthumb")
  set(PYEDGE_ZIG_CPU cortex_m55-mve_fp+mve) # without +mve zig leaves all vectors out
  set(PYEDGE_MVE ON)
else()
  message(FATAL_ERROR "PYEDGE_MARCH is ${PYEDGE_MARCH}: expected cortex-m4f or cortex-m55")
endif()
