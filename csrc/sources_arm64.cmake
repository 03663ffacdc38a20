# Kernels of arm64, for hosts only: each list with flags of its own, PE_WITH_ARM64 defined for all sources. Paths as in
# sources.cmake.
include(CheckCCompilerFlag)
set(PYEDGE_ARM64_LEVELS NEON DOTPROD I8MM)
set(PYEDGE_NEON_SOURCES
  kernels/neon/add_s8.c
  kernels/neon/conv2d.c
  kernels/neon/conv2d_f32.c
  kernels/neon/conv2d_s8.c
  kernels/neon/cpu.c
  kernels/neon/depthwise.c
  kernels/neon/depthwise_f32.c
  kernels/neon/depthwise_s8.c
  kernels/neon/pool_s8.c
)
set(PYEDGE_NEON_FLAGS -O3)
set(PYEDGE_DOTPROD_SOURCES
  kernels/dotprod/conv2d_s8.c
)
set(PYEDGE_DOTPROD_FLAGS -O3 -march=armv8.2-a+dotprod)
check_c_compiler_flag(-march=armv8.2-a+dotprod PYEDGE_CC_HAS_DOTPROD)
if(NOT PYEDGE_CC_HAS_DOTPROD)
  set(PYEDGE_DOTPROD_FLAGS -O3 -mcpu=generic+v8_2a+dotprod) # as Zig has it
endif()
set(PYEDGE_I8MM_SOURCES
  kernels/i8mm/conv2d_s8.c
)
set(PYEDGE_I8MM_FLAGS -O3 -march=armv8.2-a+i8mm)
if(NOT PYEDGE_CC_HAS_DOTPROD)
  set(PYEDGE_I8MM_FLAGS -O3 -mcpu=generic+v8_2a+i8mm)
endif()
