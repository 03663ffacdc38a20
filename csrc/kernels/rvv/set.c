#include "kernels/kernels.h"
#include "ops/trim.h"

/* As in kernels.c. What has no vector kernel, because few models need it, is as without vectors. */
#if __riscv_xlen == 32
#define DWCONV_S8 pe_dwconv_s8__rv32_1x3
#else
#define DWCONV_S8 pe_dwconv_s8__portable_1x1
#endif

/* By the kernels of float16 weights, which differ with Zvfh. */
#define SET(GEMM_F16, GEMM_FAST16, DEPTHWISE_F16, DGRAD_F16, GEMM_ACC_F16, GEMM_ACC_FAST16, DWACC_F16, DWACC_FAST16, \
            FAST16_ROWS, ELEMENTWISE)                                                                                \
    {                                                                                                                \
        .gemm_s8 = PE_IF_KEPT(conv2d_s8, 1, 0) || PE_IF_KEPT(linear_s8, 1, 0) ? pe_gemm_s8__rvv_1x2 : NULL,          \
        .gemm_f32 = PE_IF_KEPT(conv2d_f32, 1, 0) || PE_IF_KEPT(linear_f32, 1, 0) || PE_IF_KEPT(matmul_f32, 1, 0) ||  \
                            PE_IF_KEPT(rnn_f32, 1, 0) || PE_IF_KEPT(gru_f32, 1, 0) || PE_IF_KEPT(lstm_f32, 1, 0) ||  \
                            PE_IF_KEPT(deform_conv_f32, 1, 0)                                                        \
                        ? pe_gemm_f32__rvv_4x1                                                                       \
                        : NULL,                                                                                      \
        .dwconv_s8 = PE_IF_KEPT(depthwise_s8, DWCONV_S8, NULL),                                                      \
        .gemm_fp32_s8 = PE_IF_KEPT(conv2d_s8_fp32, 1, 0) || PE_IF_KEPT(linear_s8_fp32, 1, 0)                         \
                            ? pe_gemm_fp32_s8__portable_1x1                                                          \
                            : NULL,                                                                                  \
        .dwconv_fp32_s8 = PE_IF_KEPT(depthwise_s8_fp32, pe_dwconv_fp32_s8__portable_1x1, NULL),                      \
        .dwconv_f32 = PE_IF_KEPT(depthwise_f32, pe_dwconv_f32__rvv_1x1, NULL),                                       \
        .gemm_f16 = PE_IF_KEPT(conv2d_f16, 1, 0) || PE_IF_KEPT(linear_f16, 1, 0) ? GEMM_F16 : NULL,                  \
        .gemm_fast16 = PE_IF_KEPT(conv2d_f16, 1, 0) || PE_IF_KEPT(linear_f16, 1, 0) ? GEMM_FAST16 : NULL,            \
        .gemm_acc_f32 = PE_IF_KEPT(linear_dgrad_f32, 1, 0) || PE_IF_KEPT(linear_wgrad_f32, 1, 0) ||                  \
                                PE_IF_KEPT(conv2d_dgrad_f32, 1, 0) || PE_IF_KEPT(conv2d_wgrad_f32, 1, 0)             \
                            ? pe_gemm_acc_f32__rvv_4x1                                                               \
                            : NULL,                                                                                  \
        .gemm_acc_f16 = PE_IF_KEPT(linear_dgrad_f16, 1, 0) || PE_IF_KEPT(linear_wgrad_f16, 1, 0) ||                  \
                                PE_IF_KEPT(conv2d_dgrad_f16, 1, 0) || PE_IF_KEPT(conv2d_wgrad_f16, 1, 0)             \
                            ? GEMM_ACC_F16                                                                           \
                            : NULL,                                                                                  \
        .gemm_acc_fast16 = PE_IF_KEPT(linear_dgrad_f16, 1, 0) || PE_IF_KEPT(linear_wgrad_f16, 1, 0) ||               \
                                   PE_IF_KEPT(conv2d_dgrad_f16, 1, 0) || PE_IF_KEPT(conv2d_wgrad_f16, 1, 0)          \
                               ? GEMM_ACC_FAST16                                                                     \
                               : NULL,                                                                               \
        .fast16_rows = FAST16_ROWS,                                                                                  \
        .dwacc_f32 = PE_IF_KEPT(depthwise_dgrad_f32, 1, 0) || PE_IF_KEPT(depthwise_wgrad_f32, 1, 0)                  \
                         ? pe_dwacc_f32__rvv_1x1                                                                     \
                         : NULL,                                                                                     \
        .dwacc_f16 =                                                                                                 \
            PE_IF_KEPT(depthwise_dgrad_f16, 1, 0) || PE_IF_KEPT(depthwise_wgrad_f16, 1, 0) ? DWACC_F16 : NULL,       \
        .dwacc_fast16 =                                                                                              \
            PE_IF_KEPT(depthwise_dgrad_f16, 1, 0) || PE_IF_KEPT(depthwise_wgrad_f16, 1, 0) ? DWACC_FAST16 : NULL,    \
        .conv2d_s8 = PE_IF_KEPT(conv2d_s8, pe_conv2d_s8__rvv, NULL),                                                 \
        .depthwise_s8 = PE_IF_KEPT(depthwise_s8, pe_depthwise_s8__rvv, NULL),                                        \
        .depthwise_f16 = PE_IF_KEPT(depthwise_f16, DEPTHWISE_F16, NULL),                                             \
        .conv2d_dgrad_f16 = PE_IF_KEPT(conv2d_dgrad_f16, DGRAD_F16, NULL),                                           \
        .elementwise = &(ELEMENTWISE),                                                                               \
    }

const pe_kernels pe_kernels_rvv =
    SET(pe_gemm_f16__portable_2x4, pe_gemm_fast16__portable_1x1, NULL, NULL, pe_gemm_acc_f16__portable_2x4,
        pe_gemm_acc_fast16__portable_1x1, pe_dwacc_f16__portable_1x1, pe_dwacc_fast16__portable_1x1, false,
        pe_elementwise__rvv);
#ifdef PE_WITH_ZVFH
const pe_kernels pe_kernels_zvfh =
    SET(pe_gemm_f16__zvfh_4x1, pe_gemm_fast16__zvfh_4x1, pe_depthwise_f16__zvfh, pe_conv2d_dgrad_f16__zvfh,
        pe_gemm_acc_f16__zvfh_4x1, pe_gemm_acc_fast16__zvfh_4x1, pe_dwacc_f16__zvfh_1x1, pe_dwacc_fast16__zvfh_1x1,
        true, pe_elementwise__zvfh);
#endif
