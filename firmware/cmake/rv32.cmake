# What the three rv32 toolchain files share. PYEDGE_MARCH: rv32imac (soft float) or rv32imafc.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR riscv32)
set(CMAKE_C_COMPILER_WORKS 1) # there is no libc for CMake's test program to link with
set(CMAKE_ASM_COMPILER_WORKS 1)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PYEDGE_MARCH)
if(NOT PYEDGE_MARCH)
  set(PYEDGE_MARCH rv32imac)
endif()
if(PYEDGE_MARCH MATCHES "^rv32imaf")
  set(PYEDGE_MABI ilp32f)
else()
  set(PYEDGE_MABI ilp32)
endif()
