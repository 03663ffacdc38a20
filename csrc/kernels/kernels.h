/* The micro-kernels: inner loops, reached through call->kernels. ops/ has checked everything; a kernel has no errors.
 */
#ifndef PE_KERNELS_H
#define PE_KERNELS_H
#include <stdbool.h>

#include "kernels/kernels_list.h"
#include "ops/requantize.h"
#include "plan.h"

/* c[m, n] = requantize(bias[n] + sum over k of a[m, k] * b[n, k])
 *
 * a     int8        [m][k]  row stride a_stride, elements
 * b     int8        [n][k]  contiguous
 * q     pe_channel  [n]     bias with the zero point of a folded in, multiplier, shift; PE_ROUND_TFLITE
 * c     int8        [m][n]  row stride c_stride, elements; must not overlap a or b
 * m, n, k >= 1. Reads nothing past a[m-1][k-1] and b[n-1][k-1]. Scratch: none. Sums wrap modulo 2^32. */
typedef void pe_gemm_s8_fn(size_t m, size_t n, size_t k, const int8_t *a, size_t a_stride, const int8_t *b,
                           const pe_channel *q, const pe_output_s8 *out, int8_t *c, size_t c_stride);

/* The same with PE_ROUND_FP32: q's multiplier is the bits of a float. */
typedef pe_gemm_s8_fn pe_gemm_fp32_s8_fn;

/* c[m, n] = clip(sum), where sum starts as bias[n], or +0 without bias, and takes fma(a[m, k], b[n, k], sum) in
 * ascending k
 *
 * a     float  [m][k]  row stride a_stride, elements
 * b     float  [n][k]  contiguous
 * bias  float  [n]     or NULL
 * c     float  [m][n]  row stride c_stride, elements; must not overlap a or b
 * m, n, k >= 1. Reads nothing past a[m-1][k-1] and b[n-1][k-1]. Scratch: none. clip: pe_clip_f32. */
typedef void pe_gemm_f32_fn(size_t m, size_t n, size_t k, const float *a, size_t a_stride, const float *b,
                            const float *bias, float min, float max, float *c, size_t c_stride);

/* What a GEMM by float16 weights reads, writes and clips. */
typedef struct pe_form_f16 {
    bool a_is_f16, c_is_f16; /* else float */
    float min, max;
} pe_form_f16;

/* As pe_gemm_f32_fn, with a and b widened to float, which is exact; c is rounded to float16 if it is that.
 *
 * a     float or float16  [m][k]  row stride a_stride, elements
 * b     float16           [n][k]  contiguous
 * bias  float             [n]     or NULL
 * c     float or float16  [m][n]  row stride c_stride, elements; must not overlap a or b
 * m, n, k >= 1. Reads nothing past a[m-1][k-1] and b[n-1][k-1]. Scratch: none. */
typedef void pe_gemm_f16_fn(size_t m, size_t n, size_t k, const void *a, size_t a_stride, const uint16_t *b,
                            const float *bias, const pe_form_f16 *form, void *c, size_t c_stride);

/* The same with sums in float16: of each PE_FAST16_RUN products in a row, from +0, by fma in float16 (f16.h, pe_fma16);
 * then that sum is added to the float one. A float of a is rounded to float16 first. */
typedef pe_gemm_f16_fn pe_gemm_fast16_fn;

/* Where the taps and windows of one channel lie. Strides and steps are in elements. */
typedef struct pe_dwconv_geometry {
    size_t rows, cols;         /* of y; >= 1 */
    size_t kh, kw;             /* taps; >= 1 */
    size_t tap_row, tap_col;   /* in x, from tap to tap */
    size_t step_row, step_col; /* in x, from window to window */
    size_t w_stride;           /* in w, from tap to tap */
    size_t y_stride;           /* in y, from column to column; a row follows the row before */
} pe_dwconv_geometry;

/* y[r * cols + c] = requantize(bias + sum over i, j of x[r * step_row + c * step_col + i * tap_row + j * tap_col] * w[i
 * * kw + j])
 *
 * One channel. x holds its padding. y must not overlap x or w. Sums wrap modulo 2^32; PE_ROUND_TFLITE. */
typedef void pe_dwconv_s8_fn(const pe_dwconv_geometry *g, const int8_t *x, const int8_t *w, const pe_channel *q,
                             const pe_output_s8 *out, int8_t *y);

/* The same with PE_ROUND_FP32: q's multiplier is the bits of a float. */
typedef pe_dwconv_s8_fn pe_dwconv_fp32_s8_fn;

/* In floats: the sum starts as bias, takes fma(x, w, sum) tap after tap, row by row, and is clipped. */
typedef void pe_dwconv_f32_fn(const pe_dwconv_geometry *g, const float *x, const float *w, float bias, float min,
                              float max, float *y);

/* Sums of gradients, which grow call by call: c holds those so far. Strides are in elements; n is the fastest. */
typedef struct pe_acc_geometry {
    size_t m, n, k;          /* >= 1 */
    size_t a_m, a_k;         /* of a, from row to row of c, and from product to product */
    size_t b_k;              /* of b, from product to product */
    size_t c_m;              /* of c, from row to row */
    bool fresh;              /* there are no sums yet: they start as +0, and c is only written */
    bool a_is_f16, b_is_f16; /* else float; float alone for gemm_acc_f32 */
    uint32_t in_run;         /* of gemm_acc_fast16: products that are in the runs, 0 .. PE_FAST16_RUN - 1 */
    size_t rows;             /* >= 1, where pe_kernels.fast16_rows: of k products each, one after the other */
    ptrdiff_t a_row, b_row;  /* from row to row of products */
} pe_acc_geometry;

/* c[m, n] takes fma(a[m * a_m + k * a_k], b[k * b_k + n], c[m, n]) in ascending k. c overlaps neither a nor b. */
typedef void pe_gemm_acc_f32_fn(const pe_acc_geometry *g, const float *a, const float *b, float *c);

/* The same with a and b widened to float, which is exact. */
typedef void pe_gemm_acc_f16_fn(const pe_acc_geometry *g, const void *a, const void *b, float *c);

/* The same with sums in float16, as pe_gemm_fast16_fn: runs, in rows like those of c, are the sums that have not gone
 * into c yet; +0 if fresh. */
typedef void pe_gemm_acc_fast16_fn(const pe_acc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs);

/* Sums channel by channel. Strides are in elements. */
typedef struct pe_dwacc_geometry {
    size_t n, k;             /* >= 1 */
    size_t a_n, b_n, c_n;    /* from channel to channel */
    ptrdiff_t a_k, b_k;      /* from product to product */
    bool a_is_f16, b_is_f16; /* as above, and the next */
    uint32_t in_run;
} pe_dwacc_geometry;

/* c[n * c_n] takes fma(a[n * a_n + k * a_k], b[n * b_n + k * b_k], c[n * c_n]) in ascending k. */
typedef void pe_dwacc_f32_fn(const pe_dwacc_geometry *g, const float *a, const float *b, float *c);
typedef void pe_dwacc_f16_fn(const pe_dwacc_geometry *g, const void *a, const void *b, float *c);
typedef void pe_dwacc_fast16_fn(const pe_dwacc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs);

/* A whole op, by a set that knows better than walking tiles over it. c has passed its check. False, with nothing written:
 * not a case that it takes. It uses scratch as far as the plan gives it, which may be more than check asks for. */
struct pe_call;
typedef bool pe_op_fn(const struct pe_call *c);

#define PE_KERNEL_PROTOTYPE(op, arch, mr, nr, kr, layout, isa) pe_##op##_fn pe_##op##__##arch##_##mr##x##nr;
PE_KERNELS(PE_KERNEL_PROTOTYPE)
PE_KERNELS_RV32(PE_KERNEL_PROTOTYPE)
PE_KERNELS_ARMV7EM(PE_KERNEL_PROTOTYPE)
PE_KERNELS_MVE(PE_KERNEL_PROTOTYPE)
PE_KERNELS_RVV(PE_KERNEL_PROTOTYPE)
PE_KERNELS_ZVFH(PE_KERNEL_PROTOTYPE)
PE_KERNELS_AVX2(PE_KERNEL_PROTOTYPE)
PE_KERNELS_AVX512(PE_KERNEL_PROTOTYPE)
PE_KERNELS_NEON(PE_KERNEL_PROTOTYPE)
PE_KERNELS_FP16(PE_KERNEL_PROTOTYPE)
#undef PE_KERNEL_PROTOTYPE
#define PE_OP_PROTOTYPE(op, arch, kind) pe_op_fn pe_##op##__##arch;
PE_OPS_RV32(PE_OP_PROTOTYPE)
PE_OPS_ARMV7EM(PE_OP_PROTOTYPE)
PE_OPS_MVE(PE_OP_PROTOTYPE)
PE_OPS_RVV(PE_OP_PROTOTYPE)
PE_OPS_ZVFH(PE_OP_PROTOTYPE)
#undef PE_OP_PROTOTYPE

/* Ops that are no sums of products, of float32 and float16, by a set that has vectors of both or of floats alone. NULL where
 * no kept op needs it. */
typedef struct pe_elementwise {
    pe_op_fn *add_float, *mean_float, *cast_float;
    pe_op_fn *bias_grad, *clip_grad, *clip_mask, *mask_grad, *sum_squares;
    pe_op_fn *sgd_update, *momentum_update, *adam_update;
} pe_elementwise;

/* One kernel a role. A role that no kept op needs is 0 (ops/trim.h). */
typedef struct pe_kernels {
    pe_gemm_s8_fn *gemm_s8;
    pe_gemm_f32_fn *gemm_f32;
    pe_dwconv_s8_fn *dwconv_s8;
    pe_dwconv_f32_fn *dwconv_f32;
    pe_gemm_fp32_s8_fn *gemm_fp32_s8;
    pe_dwconv_fp32_s8_fn *dwconv_fp32_s8;
    pe_op_fn *conv2d_s8, *linear_s8, *depthwise_s8; /* NULL: this set has none */
    pe_op_fn *add_s8, *avg_pool2d_s8, *max_pool2d_s8;
    pe_gemm_f16_fn *gemm_f16;
    pe_gemm_fast16_fn *gemm_fast16;
    pe_op_fn *depthwise_f16, *conv2d_dgrad_f16; /* NULL: this set has none */
    pe_gemm_acc_f32_fn *gemm_acc_f32;
    pe_gemm_acc_f16_fn *gemm_acc_f16;
    pe_gemm_acc_fast16_fn *gemm_acc_fast16;
    bool fast16_rows; /* gemm_acc_fast16 takes rows of products in one call; else they come one by one */
    pe_dwacc_f32_fn *dwacc_f32;
    pe_dwacc_f16_fn *dwacc_f16;
    pe_dwacc_fast16_fn *dwacc_fast16;
    const pe_elementwise *elementwise; /* NULL: this set has none */
} pe_kernels;

extern const pe_elementwise pe_elementwise__rvv, pe_elementwise__zvfh;
extern const pe_kernels pe_kernels_rvv;  /* in builds with PE_WITH_RVV */
extern const pe_kernels pe_kernels_zvfh; /* with PE_WITH_ZVFH as well */

/* The fastest set for a CPU with these features (cpu.h); the same bits as every other. */
const pe_kernels *pe_kernels_best(uint32_t features);

/* Whether this build has kernels for constants of a pe_layout. */
bool pe_kernels_take(uint32_t layout);

/* The names of all kernels of this build, "gemm_s8__portable_2x4"; the last element is NULL. */
extern const char *const pe_kernel_names[];
#endif
