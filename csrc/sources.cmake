# The C sources of the runtime, one list for the Python extension and for every firmware. Paths are relative to this file.
# Compile with -ffp-contract=off (the bits are specified) and include paths csrc/include and csrc. Freestanding: all they
# need from outside is what compilers call by themselves (memcpy, memmove, memset, soft-float and 64-bit helpers).
set(PYEDGE_SOURCES
  kernels/fma.c
  kernels/kernels.c
  kernels/portable/dwconv_f32.c
  kernels/portable/dwconv_s8.c
  kernels/portable/gemm_f32.c
  kernels/portable/gemm_s8.c
  ops/add.c
  ops/any_ge.c
  ops/branch.c
  ops/clip.c
  ops/conv2d.c
  ops/copy.c
  ops/depthwise.c
  ops/hybrid.c
  ops/linear.c
  ops/mean.c
  ops/pool.c
  ops/quantize.c
  ops/requantize.c
  ops/softmax.c
  ops/table.c
  runtime/crc32.c
  runtime/run.c
  runtime/verify.c
)
