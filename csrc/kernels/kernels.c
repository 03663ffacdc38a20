#include "kernels/kernels.h"

#include "kernels/cpu.h"
#include "ops/trim.h"

#define PE_KERNEL_NAME(op, arch, mr, nr, kr, layout, isa) #op "__" #arch "_" #mr "x" #nr,
#define PE_LAYER_NAME(name, arch, op) #name "__" #arch,
#ifdef PE_WITH_RV32
#define PE_RV32(rv32, portable) rv32
#define PE_OP_NAME(op, arch, kind) #op "__" #arch,
#define PE_RV32_NAMES PE_KERNELS_RV32(PE_KERNEL_NAME) PE_OPS_RV32(PE_OP_NAME)
#else
#define PE_RV32(rv32, portable) portable
#define PE_RV32_NAMES
#endif
#ifdef PE_WITH_ARMV7EM
#define PE_ARMV7EM(armv7em, portable) armv7em
#define PE_ARMV7EM_OP_NAME(op, arch, kind) #op "__" #arch,
#define PE_ARMV7EM_NAMES PE_KERNELS_ARMV7EM(PE_KERNEL_NAME) PE_OPS_ARMV7EM(PE_ARMV7EM_OP_NAME)
#else
#define PE_ARMV7EM(armv7em, portable) portable
#define PE_ARMV7EM_NAMES
#endif
#ifdef PE_WITH_MVE
#define PE_MVE(mve, portable) mve
#define PE_MVE_OP_NAME(op, arch, kind) #op "__" #arch,
#define PE_MVE_NAMES PE_KERNELS_MVE(PE_KERNEL_NAME) PE_OPS_MVE(PE_MVE_OP_NAME)
#else
#define PE_MVE(mve, portable) portable
#define PE_MVE_NAMES
#endif
#ifdef PE_WITH_RVV
#define PE_RVV_OP_NAME(op, arch, kind) #op "__" #arch,
#define PE_RVV_NAMES PE_KERNELS_RVV(PE_KERNEL_NAME) PE_OPS_RVV(PE_RVV_OP_NAME)
#else
#define PE_RVV_NAMES
#endif
#ifdef PE_WITH_ZVFH
#define PE_ZVFH_OP_NAME(op, arch, kind) #op "__" #arch,
#define PE_ZVFH_NAMES PE_KERNELS_ZVFH(PE_KERNEL_NAME) PE_OPS_ZVFH(PE_ZVFH_OP_NAME)
#else
#define PE_ZVFH_NAMES
#endif
#ifdef PE_WITH_X86
#define PE_X86_NAMES PE_KERNELS_AVX2(PE_KERNEL_NAME) PE_KERNELS_AVX512(PE_KERNEL_NAME)
#else
#define PE_X86_NAMES
#endif
#ifdef PE_WITH_ARM64
#define PE_ARM64_NAMES PE_KERNELS_NEON(PE_KERNEL_NAME) PE_KERNELS_FP16(PE_KERNEL_NAME)
#else
#define PE_ARM64_NAMES
#endif
const char *const pe_kernel_names[] = {PE_KERNELS(PE_KERNEL_NAME)
                                           PE_RV32_NAMES PE_ARMV7EM_NAMES PE_MVE_NAMES PE_RVV_NAMES PE_ZVFH_NAMES
                                               PE_X86_NAMES PE_ARM64_NAMES PE_LAYERS(PE_LAYER_NAME) NULL};

/* By the kernels of gradients, which x86-64 and arm64 have at their levels too: hosts learn. */
#define SET(GEMM_ACC_F32, GEMM_ACC_F16, GEMM_ACC_FAST16, FAST16_ROWS, DWACC_F32, DWACC_F16, DWACC_FAST16)             \
    {                                                                                                                 \
        .gemm_s8 = PE_IF_KEPT(conv2d_s8, 1, 0) || PE_IF_KEPT(linear_s8, 1, 0)                                         \
                       ? PE_ARMV7EM(pe_gemm_s8__armv7em_2x2, PE_MVE(pe_gemm_s8__mve_3x4, pe_gemm_s8__portable_2x4))   \
                       : NULL,                                                                                        \
        .gemm_f32 = PE_IF_KEPT(conv2d_f32, 1, 0) || PE_IF_KEPT(linear_f32, 1, 0) || PE_IF_KEPT(matmul_f32, 1, 0) ||   \
                            PE_IF_KEPT(rnn_f32, 1, 0) || PE_IF_KEPT(gru_f32, 1, 0) || PE_IF_KEPT(lstm_f32, 1, 0) ||   \
                            PE_IF_KEPT(deform_conv_f32, 1, 0)                                                         \
                        ? pe_gemm_f32__portable_2x4                                                                   \
                        : NULL,                                                                                       \
        .dwconv_s8 = PE_IF_KEPT(depthwise_s8, PE_RV32(pe_dwconv_s8__rv32_1x3, pe_dwconv_s8__portable_1x1), NULL),     \
        .gemm_fp32_s8 = PE_IF_KEPT(conv2d_s8_fp32, 1, 0) || PE_IF_KEPT(linear_s8_fp32, 1, 0)                          \
                            ? pe_gemm_fp32_s8__portable_1x1                                                           \
                            : NULL,                                                                                   \
        .dwconv_fp32_s8 = PE_IF_KEPT(depthwise_s8_fp32, pe_dwconv_fp32_s8__portable_1x1, NULL),                       \
        .dwconv_f32 = PE_IF_KEPT(depthwise_f32, pe_dwconv_f32__portable_1x1, NULL),                                   \
        .gemm_f16 = PE_IF_KEPT(conv2d_f16, 1, 0) || PE_IF_KEPT(linear_f16, 1, 0) ? pe_gemm_f16__portable_2x4 : NULL,  \
        .gemm_fast16 =                                                                                                \
            PE_IF_KEPT(conv2d_f16, 1, 0) || PE_IF_KEPT(linear_f16, 1, 0) ? pe_gemm_fast16__portable_1x1 : NULL,       \
        .gemm_acc_f32 = PE_IF_KEPT(linear_dgrad_f32, 1, 0) || PE_IF_KEPT(linear_wgrad_f32, 1, 0) ||                   \
                                PE_IF_KEPT(conv2d_dgrad_f32, 1, 0) || PE_IF_KEPT(conv2d_wgrad_f32, 1, 0)              \
                            ? GEMM_ACC_F32                                                                            \
                            : NULL,                                                                                   \
        .gemm_acc_f16 = PE_IF_KEPT(linear_dgrad_f16, 1, 0) || PE_IF_KEPT(linear_wgrad_f16, 1, 0) ||                   \
                                PE_IF_KEPT(conv2d_dgrad_f16, 1, 0) || PE_IF_KEPT(conv2d_wgrad_f16, 1, 0)              \
                            ? GEMM_ACC_F16                                                                            \
                            : NULL,                                                                                   \
        .gemm_acc_fast16 = PE_IF_KEPT(linear_dgrad_f16, 1, 0) || PE_IF_KEPT(linear_wgrad_f16, 1, 0) ||                \
                                   PE_IF_KEPT(conv2d_dgrad_f16, 1, 0) || PE_IF_KEPT(conv2d_wgrad_f16, 1, 0)           \
                               ? GEMM_ACC_FAST16                                                                      \
                               : NULL,                                                                                \
        .fast16_rows = FAST16_ROWS,                                                                                   \
        .dwacc_f32 =                                                                                                  \
            PE_IF_KEPT(depthwise_dgrad_f32, 1, 0) || PE_IF_KEPT(depthwise_wgrad_f32, 1, 0) ? DWACC_F32 : NULL,        \
        .dwacc_f16 =                                                                                                  \
            PE_IF_KEPT(depthwise_dgrad_f16, 1, 0) || PE_IF_KEPT(depthwise_wgrad_f16, 1, 0) ? DWACC_F16 : NULL,        \
        .dwacc_fast16 =                                                                                               \
            PE_IF_KEPT(depthwise_dgrad_f16, 1, 0) || PE_IF_KEPT(depthwise_wgrad_f16, 1, 0) ? DWACC_FAST16 : NULL,     \
        .conv2d_s8 = PE_IF_KEPT(                                                                                      \
            conv2d_s8,                                                                                                \
            PE_RV32(pe_conv2d_s8__rv32, PE_ARMV7EM(pe_conv2d_s8__armv7em, PE_MVE(pe_conv2d_s8__mve, NULL))), NULL),   \
        .linear_s8 =                                                                                                  \
            PE_IF_KEPT(linear_s8, PE_RV32(pe_linear_s8__rv32, PE_ARMV7EM(pe_linear_s8__armv7em, NULL)), NULL),        \
        .depthwise_s8 =                                                                                               \
            PE_IF_KEPT(depthwise_s8, PE_ARMV7EM(pe_depthwise_s8__armv7em, PE_MVE(pe_depthwise_s8__mve, NULL)), NULL), \
        .add_s8 = PE_IF_KEPT(add_s8, PE_ARMV7EM(pe_add_s8__armv7em, PE_MVE(pe_add_s8__mve, NULL)), NULL),             \
        .avg_pool2d_s8 = PE_IF_KEPT(avg_pool2d_s8, PE_MVE(pe_avg_pool2d_s8__mve, NULL), NULL),                        \
        .max_pool2d_s8 = PE_IF_KEPT(max_pool2d_s8, PE_MVE(pe_max_pool2d_s8__mve, NULL), NULL),                        \
    }

static const pe_kernels portable =
    SET(pe_gemm_acc_f32__portable_4x4, pe_gemm_acc_f16__portable_2x4, pe_gemm_acc_fast16__portable_1x1, false,
        pe_dwacc_f32__portable_1x4, pe_dwacc_f16__portable_1x1, pe_dwacc_fast16__portable_1x1);
#ifdef PE_WITH_X86
static const pe_kernels avx2 =
    SET(pe_gemm_acc_f32__avx2_6x16, pe_gemm_acc_f16__avx2_6x16, pe_gemm_acc_fast16__avx2_4x16, false,
        pe_dwacc_f32__avx2_1x32, pe_dwacc_f16__avx2_1x8, pe_dwacc_fast16__avx2_1x8);
static const pe_kernels avx512 =
    SET(pe_gemm_acc_f32__avx512_8x48, pe_gemm_acc_f16__avx512_8x48, pe_gemm_acc_fast16__avx512_4x32, false,
        pe_dwacc_f32__avx512_1x64, pe_dwacc_f16__avx512_1x16, pe_dwacc_fast16__avx512_1x16);
#elif defined PE_WITH_ARM64
static const pe_kernels neon =
    SET(pe_gemm_acc_f32__neon_8x8, pe_gemm_acc_f16__neon_8x8, pe_gemm_acc_fast16__portable_1x1, false,
        pe_dwacc_f32__neon_1x16, pe_dwacc_f16__neon_1x16, pe_dwacc_fast16__portable_1x1);
static const pe_kernels fp16 = SET(pe_gemm_acc_f32__neon_8x8, pe_gemm_acc_f16__neon_8x8, pe_gemm_acc_fast16__fp16_8x16,
                                   true, pe_dwacc_f32__neon_1x16, pe_dwacc_f16__neon_1x16, pe_dwacc_fast16__fp16_1x8);
#endif

bool pe_kernels_take(uint32_t layout)
{
#if defined PE_WITH_RV32 && !defined PE_WITH_RVV
    if (layout == PE_LAYOUT_INTERLEAVED_ROWS)
        return true;
#endif
    return layout == PE_LAYOUT_CANONICAL || PE_ARMV7EM(layout == PE_LAYOUT_MIXED_ROWS, false);
}

const pe_kernels *pe_kernels_best(uint32_t features)
{
#ifdef PE_WITH_ZVFH
    if (((features | PE_CPU_BUILT_FOR) & PE_ISA_ZVFH) == PE_ISA_ZVFH)
        return &pe_kernels_zvfh;
#endif
#ifdef PE_WITH_RVV
    if ((features | PE_CPU_BUILT_FOR) & PE_CPU_RVV)
        return &pe_kernels_rvv;
#elif defined PE_WITH_X86
    if ((features & PE_NEEDS_avx512) == PE_NEEDS_avx512)
        return &avx512;
    if ((features & PE_NEEDS_avx2) == PE_NEEDS_avx2)
        return &avx2;
#elif defined PE_WITH_ARM64
    if ((features & PE_NEEDS_fp16) == PE_NEEDS_fp16)
        return &fp16;
    if ((features & PE_NEEDS_neon) == PE_NEEDS_neon)
        return &neon;
#else
    (void)features; /* all that is faster is a layer (layers.h) */
#endif
    return &portable;
}
