# What the three rv32 toolchain files share. PYEDGE_MARCH: rv32imac (soft float), rv32imafc, with instructions for float16
# rv32imafc_zfh, with vectors rv32imafc_zve32f_zvl128b (RVV 1.0, VLEN 128 or more), with float16 vectors too
# rv32imafc_zve32f_zvl128b_zvfh.
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
string(REGEX REPLACE "_.*" "" PYEDGE_MARCH_BASE ${PYEDGE_MARCH}) # which libgcc has, and GCC 12 intrinsics for
if(PYEDGE_MARCH MATCHES "_zve")
  set(PYEDGE_RVV ON)
  if(PYEDGE_MARCH MATCHES "_zvfh")
    set(PYEDGE_ZVFH ON)
  endif()
  set(PYEDGE_VARIANT -v) # of the board's name: virt-rv32-v
endif()
