/* What the gradients of layers share. a is dy, b is the other operand (w or x), y the result; sums are float32. */
#ifndef PE_GRADIENT_H
#define PE_GRADIENT_H
#include "kernels/f16.h"
#include "kernels/kernels.h"
#include "ops/ops.h"

#define PE_GRADIENT_SCRATCH 2048 /* bytes of sums that are made at a time, where they don't lie in y */
#define PE_FAST16_SCRATCH 6144   /* the same, and of rows of x, with runs of float16, which cost more to leave off */

typedef struct pe_gradient {
    const pe_kernels *kernels;
    bool half;                         /* a kind of float16: each operand is float16 or float32 */
    bool fast;                         /* PE_ROUND_FAST16 */
    bool a_is_f16, b_is_f16, y_is_f16; /* else float */
} pe_gradient;

static inline pe_gradient pe_gradient_of(const pe_call *c, bool half, int32_t rounding)
{
    const pe_tensor *const *t = c->tensor;
    return (pe_gradient){
        .kernels = c->kernels,
        .half = half,
        .fast = half && rounding == PE_ROUND_FAST16,
        .a_is_f16 = t[0]->dtype == PE_F16,
        .b_is_f16 = t[1]->dtype == PE_F16,
        .y_is_f16 = t[2]->dtype == PE_F16,
    };
}

/* NULL, or what is wrong with dtypes and rounding. */
static inline const char *pe_gradient_fault(const pe_call *c, bool half, int32_t rounding)
{
    for (int i = 0; i < 3; i++)
        if (c->tensor[i]->dtype != PE_F32 && !(half && c->tensor[i]->dtype == PE_F16))
            return "gradient: an operand or the result is not of the kind's types";
    if (half && rounding != PE_ROUND_EXACT && rounding != PE_ROUND_FAST16)
        return "gradient: the rounding is not the kind's";
    return NULL;
}

static inline size_t pe_a_bytes(const pe_gradient *t)
{
    return t->a_is_f16 ? 2 : 4;
}

static inline size_t pe_b_bytes(const pe_gradient *t)
{
    return t->b_is_f16 ? 2 : 4;
}

/* Where sums are made: in y itself, or in scratch. run: sums of float16 that have not gone into them yet. */
typedef struct pe_sums {
    float *sum;
    uint16_t *run; /* NULL unless fast */
} pe_sums;

static inline bool pe_sums_in_y(const pe_gradient *t)
{
    return !t->fast && !t->y_is_f16;
}

/* Bytes of n sums in scratch, in whole words; 0 if they lie in y. */
static inline uint64_t pe_sums_bytes(const pe_gradient *t, uint64_t n)
{
    return pe_sums_in_y(t) ? 0 : 4 * n + (t->fast ? 4 * ((n + 1) / 2) : 0);
}

/* n sums at the start of scratch. */
static inline pe_sums pe_sums_at(const pe_gradient *t, void *scratch, size_t n)
{
    float *const sum = scratch;
    return (pe_sums){sum, t->fast ? (uint16_t *)(void *)(sum + n) : NULL};
}

static inline size_t pe_sums_at_once(const pe_gradient *t)
{
    return t->fast ? PE_FAST16_SCRATCH : PE_GRADIENT_SCRATCH;
}

/* Rows of products for the sums from index `at` on, by the kernel of the type. */
static inline void pe_gemm_acc(const pe_gradient *t, pe_acc_geometry *g, const void *a, const void *b, pe_sums s,
                               size_t at)
{
    g->a_is_f16 = t->a_is_f16;
    g->b_is_f16 = t->b_is_f16;
    if (t->fast && t->kernels->fast16_rows) {
        t->kernels->gemm_acc_fast16(g, a, b, s.sum + at, s.run + at);
        return;
    }
    const bool fresh = g->fresh;
    const uint32_t in_run = g->in_run;
    for (size_t row = 0; row < g->rows; row++) {
        const void *x = (const uint8_t *)a + (ptrdiff_t)row * g->a_row * (ptrdiff_t)pe_a_bytes(t);
        const void *w = (const uint8_t *)b + (ptrdiff_t)row * g->b_row * (ptrdiff_t)pe_b_bytes(t);
        if (!t->half)
            t->kernels->gemm_acc_f32(g, x, w, s.sum + at);
        else if (!t->fast)
            t->kernels->gemm_acc_f16(g, x, w, s.sum + at);
        else
            t->kernels->gemm_acc_fast16(g, x, w, s.sum + at, s.run + at);
        g->fresh = false;
        g->in_run = (uint32_t)((g->in_run + g->k) % PE_FAST16_RUN);
    }
    g->in_run = in_run;
    g->fresh = fresh;
}

static inline void pe_dwacc(const pe_gradient *t, pe_dwacc_geometry *g, const void *a, const void *b, pe_sums s,
                            size_t at)
{
    g->a_is_f16 = t->a_is_f16;
    g->b_is_f16 = t->b_is_f16;
    if (!t->half)
        t->kernels->dwacc_f32(g, a, b, s.sum + at);
    else if (!t->fast)
        t->kernels->dwacc_f16(g, a, b, s.sum + at);
    else
        t->kernels->dwacc_fast16(g, a, b, s.sum + at, s.run + at);
}

/* n sums from index `from` on are complete: into y from element `to` on, rounded once if it is float16. */
static inline void pe_sums_store(const pe_gradient *t, pe_sums s, size_t from, size_t n, void *y, size_t to)
{
    const float *const sum = s.sum + from;
    const uint16_t *const run = t->fast ? s.run + from : NULL;
    uint16_t *const half = (uint16_t *)y + (t->y_is_f16 ? to : 0);
    float *const whole = (float *)y + (t->y_is_f16 ? 0 : to);
    if (t->fast && t->y_is_f16)
        for (size_t i = 0; i < n; i++)
            half[i] = pe_f16_round(sum[i] + pe_f16_widen(run[i]));
    else if (t->fast)
        for (size_t i = 0; i < n; i++)
            whole[i] = sum[i] + pe_f16_widen(run[i]);
    else if (t->y_is_f16)
        for (size_t i = 0; i < n; i++)
            half[i] = pe_f16_round(sum[i]);
}

static inline void pe_sums_clear(pe_sums s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s.sum[i] = 0;
    for (size_t i = 0; s.run && i < n; i++)
        s.run[i] = 0;
}

/* y[m, n] = sum over k of a[m * a_m + k * a_k] * b[k, n], ascending: a linear layer's gradients, and those of a
 * convolution of 1x1. */
void pe_gradient_gemm(const pe_gradient *t, size_t m, size_t n, size_t k, size_t a_m, size_t a_k, const void *a,
                      const void *b, void *y, void *scratch);
uint32_t pe_gradient_gemm_scratch(const pe_gradient *t, size_t m, size_t n);
#endif
