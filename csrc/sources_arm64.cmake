# Kernels of arm64, for hosts only: each list with flags of its own, PE_WITH_ARM64 defined for all sources. Paths as in
# sources.cmake.
include(CheckCCompilerFlag)
set(CMAKE_ASM_COMPILER_TARGET ${CMAKE_C_COMPILER_TARGET}) # assembly goes through the C compiler
enable_language(ASM)
set(PYEDGE_ARM64_LEVELS NEON FP16 DOTPROD FHM I8MM)
set(PYEDGE_NEON_SOURCES
  kernels/neon/add_s8.c
  kernels/neon/conv2d.c
  kernels/neon/conv2d_f16.c
  kernels/neon/conv2d_f32.c
  kernels/neon/conv2d_s8.c
  kernels/neon/cpu.c
  kernels/neon/depthwise.c
  kernels/neon/depthwise_f16.c
  kernels/neon/depthwise_f32.c
  kernels/neon/depthwise_s8.c
  kernels/neon/dwacc.c
  kernels/neon/gemm_acc_f16.c
  kernels/neon/gemm_acc_f32.c
  kernels/neon/gemm_f16.S
  kernels/neon/gemm_f16.c
  kernels/neon/pool_s8.c
)
set(PYEDGE_NEON_FLAGS -O3)
set(PYEDGE_FP16_SOURCES
  kernels/fp16/conv2d_f16.c
  kernels/fp16/depthwise_f16.c
  kernels/fp16/dwacc_fast16.c
  kernels/fp16/gemm_acc_fast16.c
  kernels/fp16/gemm_fast16.S
)
set(PYEDGE_FP16_FLAGS -O3 -march=armv8.2-a+fp16)
set(PYEDGE_DOTPROD_SOURCES
  kernels/dotprod/conv2d_s8.c
)
set(PYEDGE_DOTPROD_FLAGS -O3 -march=armv8.2-a+dotprod)
check_c_compiler_flag(-march=armv8.2-a+dotprod PYEDGE_CC_HAS_DOTPROD)
if(NOT PYEDGE_CC_HAS_DOTPROD)
  set(PYEDGE_FP16_FLAGS -O3 -mcpu=generic+v8_2a+fullfp16) # as Zig has it
  set(PYEDGE_DOTPROD_FLAGS -O3 -mcpu=generic+v8_2a+dotprod)
endif()
set(PYEDGE_FHM_SOURCES
  kernels/fhm/conv2d_f16.c
)
set(PYEDGE_FHM_FLAGS -O3 -march=armv8.2-a+fp16fml)
set(PYEDGE_I8MM_SOURCES
  kernels/i8mm/conv2d_s8.c
)
set(PYEDGE_I8MM_FLAGS -O3 -march=armv8.2-a+i8mm)
if(NOT PYEDGE_CC_HAS_DOTPROD)
  set(PYEDGE_FHM_FLAGS -O3 -mcpu=generic+v8_2a+fp16fml)
  set(PYEDGE_I8MM_FLAGS -O3 -mcpu=generic+v8_2a+i8mm)
endif()
