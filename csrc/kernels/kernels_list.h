/* One line a micro-kernel: X(op_types, arch, MR, NR, KR, LAYOUT, ISA), for pe_<op_types>__<arch>_<MR>x<NR>.
 *
 * MR x NR: the tile of outputs, rows (pixels) by channels; KR: neighbours in k that a step takes from one row of
 * weights. LAYOUT: the pe_layout of the weights. ISA: what the CPU must have; NONE: nothing beyond C. Prototypes
 * (kernels.h), the names that bindings show (kernels.c), tests and the README's support table come from here. */
#define PE_KERNELS(X)                                      \
    X(gemm_s8, portable, 2, 4, 1, CANONICAL, NONE)         \
    X(gemm_f32, portable, 2, 4, 1, CANONICAL, NONE)        \
    X(dwconv_s8, portable, 1, 1, 1, CANONICAL, NONE)       \
    X(dwconv_f32, portable, 1, 1, 1, CANONICAL, NONE)      \
    X(gemm_fp32_s8, portable, 1, 1, 1, CANONICAL, NONE)    \
    X(dwconv_fp32_s8, portable, 1, 1, 1, CANONICAL, NONE)  \
    X(gemm_f16, portable, 2, 4, 1, CANONICAL, NONE)        \
    X(gemm_fast16, portable, 1, 1, 1, CANONICAL, NONE)     \
    X(gemm_acc_f32, portable, 4, 4, 1, CANONICAL, NONE)    \
    X(gemm_acc_f16, portable, 2, 4, 1, CANONICAL, NONE)    \
    X(gemm_acc_fast16, portable, 1, 1, 1, CANONICAL, NONE) \
    X(dwacc_f32, portable, 1, 4, 1, CANONICAL, NONE)       \
    X(dwacc_f16, portable, 1, 1, 1, CANONICAL, NONE)       \
    X(dwacc_fast16, portable, 1, 1, 1, CANONICAL, NONE)

/* RISC-V, 32 bits, with multiplication and all 31 registers; known when a firmware is built. PE_PORTABLE: for comparison. */
#if defined __riscv && __riscv_xlen == 32 && defined __riscv_mul && !defined __riscv_32e && !defined PE_PORTABLE
#define PE_WITH_RV32
#endif

/* Of 32-bit RISC-V with M, instead of the portable ones of their role. */
#define PE_KERNELS_RV32(X) X(dwconv_s8, rv32, 1, 3, 1, CANONICAL, RV32IM)

/* Of Cortex-M cores with the DSP extension and without vectors. */
#define PE_KERNELS_ARMV7EM(X) X(gemm_s8, armv7em, 2, 2, 4, CANONICAL, DSP)

/* Of Cortex-M cores with integer vectors (MVE). */
#define PE_KERNELS_MVE(X) X(gemm_s8, mve, 3, 4, 16, CANONICAL, MVE)

/* Of RISC-V vectors (RVV 1.0, any VLEN), instead of the portable ones of their role. */
#define PE_KERNELS_RVV(X)                         \
    X(gemm_s8, rvv, 1, 2, 1, CANONICAL, RVV)      \
    X(gemm_f32, rvv, 4, 1, 1, CANONICAL, RVV)     \
    X(dwconv_f32, rvv, 1, 1, 1, CANONICAL, RVV)   \
    X(gemm_acc_f32, rvv, 4, 1, 1, CANONICAL, RVV) \
    X(dwacc_f32, rvv, 1, 1, 1, CANONICAL, RVV)

/* Of RISC-V float16 vectors, besides those of RVV. */
#define PE_KERNELS_ZVFH(X)                             \
    X(gemm_f16, zvfh, 4, 1, 1, CANONICAL, ZVFH)        \
    X(gemm_fast16, zvfh, 4, 1, 1, CANONICAL, ZVFH)     \
    X(gemm_acc_f16, zvfh, 4, 1, 1, CANONICAL, ZVFH)    \
    X(gemm_acc_fast16, zvfh, 4, 1, 1, CANONICAL, ZVFH) \
    X(dwacc_f16, zvfh, 1, 1, 1, CANONICAL, ZVFH)       \
    X(dwacc_fast16, zvfh, 1, 1, 1, CANONICAL, ZVFH)

/* Of x86-64 levels, instead of the portable ones of their role. */
#define PE_KERNELS_AVX2(X)                              \
    X(gemm_acc_f32, avx2, 6, 16, 1, CANONICAL, AVX2)    \
    X(gemm_acc_f16, avx2, 6, 16, 1, CANONICAL, AVX2)    \
    X(gemm_acc_fast16, avx2, 4, 16, 1, CANONICAL, AVX2) \
    X(dwacc_f32, avx2, 1, 32, 1, CANONICAL, AVX2)       \
    X(dwacc_f16, avx2, 1, 8, 1, CANONICAL, AVX2)        \
    X(dwacc_fast16, avx2, 1, 8, 1, CANONICAL, AVX2)
#define PE_KERNELS_AVX512(X)                                \
    X(gemm_acc_f32, avx512, 8, 48, 1, CANONICAL, AVX512)    \
    X(gemm_acc_f16, avx512, 8, 48, 1, CANONICAL, AVX512)    \
    X(gemm_acc_fast16, avx512, 4, 32, 1, CANONICAL, AVX512) \
    X(dwacc_f32, avx512, 1, 64, 1, CANONICAL, AVX512)       \
    X(dwacc_f16, avx512, 1, 16, 1, CANONICAL, AVX512)       \
    X(dwacc_fast16, avx512, 1, 16, 1, CANONICAL, AVX512)

/* Of arm64 levels, likewise. */
#define PE_KERNELS_NEON(X)                          \
    X(gemm_acc_f32, neon, 8, 8, 1, CANONICAL, NEON) \
    X(gemm_acc_f16, neon, 8, 8, 1, CANONICAL, NEON) \
    X(dwacc_f32, neon, 1, 16, 1, CANONICAL, NEON)   \
    X(dwacc_f16, neon, 1, 16, 1, CANONICAL, NEON)
#define PE_KERNELS_FP16(X)                              \
    X(gemm_acc_fast16, fp16, 8, 16, 1, CANONICAL, FP16) \
    X(dwacc_fast16, fp16, 1, 8, 1, CANONICAL, FP16)

/* Whole ops (pe_op_fn): X(name, arch, op kind), for pe_<name>__<arch>. */
#define PE_OPS_RV32(X)            \
    X(conv2d_s8, rv32, conv2d_s8) \
    X(linear_s8, rv32, linear_s8)

#define PE_OPS_ARMV7EM(X)                  \
    X(add_s8, armv7em, add_s8)             \
    X(conv2d_s8, armv7em, conv2d_s8)       \
    X(depthwise_s8, armv7em, depthwise_s8) \
    X(linear_s8, armv7em, linear_s8)

#define PE_OPS_MVE(X)                    \
    X(conv2d_s8, mve, conv2d_s8)         \
    X(depthwise_s8, mve, depthwise_s8)   \
    X(add_s8, mve, add_s8)               \
    X(avg_pool2d_s8, mve, avg_pool2d_s8) \
    X(max_pool2d_s8, mve, max_pool2d_s8)

#define PE_OPS_RVV(X)                        \
    X(conv2d_s8, rvv, conv2d_s8)             \
    X(depthwise_s8, rvv, depthwise_s8)       \
    X(add_float, rvv, add_f32)               \
    X(mean_float, rvv, mean_f32)             \
    X(bias_grad, rvv, bias_grad)             \
    X(clip_grad, rvv, clip_grad)             \
    X(clip_mask, rvv, clip_mask)             \
    X(mask_grad, rvv, mask_grad)             \
    X(sum_squares, rvv, sum_squares)         \
    X(sgd_update, rvv, sgd_update)           \
    X(momentum_update, rvv, momentum_update) \
    X(adam_update, rvv, adam_update)

#define PE_OPS_ZVFH(X)                          \
    X(depthwise_f16, zvfh, depthwise_f16)       \
    X(conv2d_dgrad_f16, zvfh, conv2d_dgrad_f16) \
    X(add_float, zvfh, add_f16)                 \
    X(mean_float, zvfh, mean_f16)               \
    X(cast_float, zvfh, cast)                   \
    X(bias_grad, zvfh, bias_grad)               \
    X(clip_grad, zvfh, clip_grad)               \
    X(clip_mask, zvfh, clip_mask)               \
    X(mask_grad, zvfh, mask_grad)               \
    X(sum_squares, zvfh, sum_squares)           \
    X(sgd_update, zvfh, sgd_update)             \
    X(momentum_update, zvfh, momentum_update)   \
    X(adam_update, zvfh, adam_update)

/* One line a layer kernel (layers.h): X(name, arch, op kind), for pe_layer_<name>__<arch>; PE_NEEDS_<arch> of cpu.h is what
 * the CPU must have. PE_LAYERS joins the lists of a build: of two that take a case the first does. */
#define PE_LAYERS_AVX512(X)                             \
    X(conv2d_s8, avx512, conv2d_s8)                     \
    X(depthwise_s8, avx512, depthwise_s8)               \
    X(linear_row_s8, avx512, linear_s8)                 \
    X(linear_s8, avx512, linear_s8)                     \
    X(add_s8, avx512, add_s8)                           \
    X(avg_pool2d_s8, avx512, avg_pool2d_s8)             \
    X(max_pool2d_s8, avx512, max_pool2d_s8)             \
    X(mean_s8, avx512, mean_s8)                         \
    X(softmax_s8, avx512, softmax_s8)                   \
    X(mul_s8, avx512, binary_s8)                        \
    X(conv2d_f32, avx512, conv2d_f32)                   \
    X(depthwise_one_f32, avx512, depthwise_f32)         \
    X(depthwise_f32, avx512, depthwise_f32)             \
    X(linear_row_f32, avx512, linear_f32)               \
    X(linear_f32, avx512, linear_f32)                   \
    X(add_f32, avx512, add_f32)                         \
    X(add_f16, avx512, add_f16)                         \
    X(avg_pool2d_f32, avx512, avg_pool2d_f32)           \
    X(mean_f32, avx512, mean_f32)                       \
    X(softmax_f32, avx512, softmax_f32)                 \
    X(conv2d_dgrad_f32, avx512, conv2d_dgrad_f32)       \
    X(conv2d_wgrad_f32, avx512, conv2d_wgrad_f32)       \
    X(depthwise_dgrad_f32, avx512, depthwise_dgrad_f32) \
    X(depthwise_wgrad_f32, avx512, depthwise_wgrad_f32) \
    X(clip_grad, avx512, clip_grad)                     \
    X(bias_grad, avx512, bias_grad)                     \
    X(sum_squares, avx512, sum_squares)                 \
    X(sgd_update, avx512, sgd_update)                   \
    X(momentum_update, avx512, momentum_update)         \
    X(adam_update, avx512, adam_update)                 \
    X(cast, avx512, cast)                               \
    X(conv2d_f16, avx512, conv2d_f16)                   \
    X(linear_f16, avx512, linear_f16)                   \
    X(depthwise_f16, avx512, depthwise_f16)

#define PE_LAYERS_AVX2(X)                             \
    X(conv2d_s8, avx2, conv2d_s8)                     \
    X(depthwise_s8, avx2, depthwise_s8)               \
    X(linear_s8, avx2, linear_s8)                     \
    X(add_s8, avx2, add_s8)                           \
    X(avg_pool2d_s8, avx2, avg_pool2d_s8)             \
    X(max_pool2d_s8, avx2, max_pool2d_s8)             \
    X(mean_s8, avx2, mean_s8)                         \
    X(softmax_s8, avx2, softmax_s8)                   \
    X(mul_s8, avx2, binary_s8)                        \
    X(conv2d_f32, avx2, conv2d_f32)                   \
    X(depthwise_one_f32, avx2, depthwise_f32)         \
    X(depthwise_f32, avx2, depthwise_f32)             \
    X(linear_row_f32, avx2, linear_f32)               \
    X(linear_f32, avx2, linear_f32)                   \
    X(add_f32, avx2, add_f32)                         \
    X(add_f16, avx2, add_f16)                         \
    X(avg_pool2d_f32, avx2, avg_pool2d_f32)           \
    X(mean_f32, avx2, mean_f32)                       \
    X(softmax_f32, avx2, softmax_f32)                 \
    X(conv2d_dgrad_f32, avx2, conv2d_dgrad_f32)       \
    X(conv2d_wgrad_f32, avx2, conv2d_wgrad_f32)       \
    X(depthwise_dgrad_f32, avx2, depthwise_dgrad_f32) \
    X(depthwise_wgrad_f32, avx2, depthwise_wgrad_f32) \
    X(clip_grad, avx2, clip_grad)                     \
    X(bias_grad, avx2, bias_grad)                     \
    X(sum_squares, avx2, sum_squares)                 \
    X(sgd_update, avx2, sgd_update)                   \
    X(momentum_update, avx2, momentum_update)         \
    X(adam_update, avx2, adam_update)                 \
    X(cast, avx2, cast)                               \
    X(conv2d_f16, avx2, conv2d_f16)                   \
    X(linear_f16, avx2, linear_f16)                   \
    X(depthwise_f16, avx2, depthwise_f16)

#define PE_LAYERS_I8MM(X)         \
    X(conv2d_s8, i8mm, conv2d_s8) \
    X(linear_s8, i8mm, linear_s8)

#define PE_LAYERS_DOTPROD(X)         \
    X(conv2d_s8, dotprod, conv2d_s8) \
    X(linear_s8, dotprod, linear_s8)

#define PE_LAYERS_FHM(X)           \
    X(conv2d_f16, fhm, conv2d_f16) \
    X(linear_f16, fhm, linear_f16)

#define PE_LAYERS_FP16(X)           \
    X(conv2d_f16, fp16, conv2d_f16) \
    X(linear_f16, fp16, linear_f16) \
    X(depthwise_f16, fp16, depthwise_f16)

#define PE_LAYERS_NEON(X)                 \
    X(conv2d_s8, neon, conv2d_s8)         \
    X(linear_s8, neon, linear_s8)         \
    X(depthwise_s8, neon, depthwise_s8)   \
    X(add_s8, neon, add_s8)               \
    X(avg_pool2d_s8, neon, avg_pool2d_s8) \
    X(max_pool2d_s8, neon, max_pool2d_s8) \
    X(mean_s8, neon, mean_s8)             \
    X(depthwise_f32, neon, depthwise_f32) \
    X(conv2d_f32, neon, conv2d_f32)       \
    X(linear_f32, neon, linear_f32)       \
    X(conv2d_f16, neon, conv2d_f16)       \
    X(linear_f16, neon, linear_f16)       \
    X(depthwise_f16, neon, depthwise_f16)

#if defined PE_WITH_X86
#define PE_LAYERS(X) PE_LAYERS_AVX512(X) PE_LAYERS_AVX2(X)
#elif defined PE_WITH_ARM64
#define PE_LAYERS(X) PE_LAYERS_I8MM(X) PE_LAYERS_DOTPROD(X) PE_LAYERS_FHM(X) PE_LAYERS_FP16(X) PE_LAYERS_NEON(X)
#else
#define PE_LAYERS(X)
#endif
