# Kernels of x86-64 levels that a CPU may lack, for hosts only: each list with flags of its own, PE_WITH_X86 defined for all
# sources. Paths as in sources.cmake.
set(PYEDGE_AVX512_SOURCES
  kernels/avx512/add_mean_f32.c
  kernels/avx512/add_s8.c
  kernels/avx512/conv2d_f16.c
  kernels/avx512/conv2d_f32.c
  kernels/avx512/conv2d_s8.c
  kernels/avx512/depthwise_f16.c
  kernels/avx512/depthwise_f32.c
  kernels/avx512/depthwise_s8.c
  kernels/avx512/gemm_acc_f16.c
  kernels/avx512/gemm_acc_f32.c
  kernels/avx512/linear_row_f32.c
  kernels/avx512/linear_row_s8.c
  kernels/avx512/mul_s8.c
  kernels/avx512/pool_s8.c
  kernels/avx512/requantize.c
  kernels/avx512/softmax_f32.c
  kernels/avx512/softmax_s8.c
  kernels/avx512/training.c
  kernels/avx512/wgrad_f32.c
)
set(PYEDGE_AVX512_FLAGS
  -O3 -mavx2 -mfma -mf16c -mbmi2 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512vbmi -mavx512vbmi2)
set(PYEDGE_AVX2_SOURCES
  kernels/avx2/add_mean_f32.c
  kernels/avx2/add_s8.c
  kernels/avx2/conv2d_f16.c
  kernels/avx2/conv2d_f32.c
  kernels/avx2/conv_s8.c
  kernels/avx2/depthwise_f16.c
  kernels/avx2/depthwise_f32.c
  kernels/avx2/gemm_acc_f16.c
  kernels/avx2/gemm_acc_f32.c
  kernels/avx2/linear_row_f32.c
  kernels/avx2/mul_s8.c
  kernels/avx2/pool_s8.c
  kernels/avx2/softmax_f32.c
  kernels/avx2/softmax_s8.c
  kernels/avx2/training.c
  kernels/avx2/wgrad_f32.c
)
set(PYEDGE_AVX2_FLAGS -O3 -mavx2 -mfma -mf16c)
