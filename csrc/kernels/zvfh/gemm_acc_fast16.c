#include "kernels/f16.h"
#include "kernels/zvfh/zvfh.h"

/* Contract: kernels.h, pe_gemm_acc_fast16_fn, with rows of products. Four neighbours of c in one direction share vectors
 * that lie across it in the other: columns, of which b is read, or rows, of which a is, if that fills the vectors better.
 * Twice as many lanes in a register group as of floats: the float sums, which only every PE_FAST16_RUN products go to,
 * stay in memory. */

/* An operand: bytes from lane to lane, or from one to the next of four scalars, from product to product and from row to row
 * of products. */
typedef struct operand {
    const uint8_t *at;
    ptrdiff_t step, product, row;
    bool is_f16;
} operand;

/* Where sums lie, in elements: from lane to lane, and from one to the next of four. */
typedef struct place {
    float *sums;
    _Float16 *runs;
    size_t lane, next;
} place;

static inline __attribute__((always_inline)) vfloat16m4_t load(const operand *x, const uint8_t *at, size_t vl)
{
    if (x->is_f16)
        return x->step == 2 ? __riscv_vle16_v_f16m4((const _Float16 *)(const void *)at, vl)
                            : __riscv_vlse16_v_f16m4((const _Float16 *)(const void *)at, x->step, vl);
    const float *whole = (const void *)at;
    return __riscv_vfncvt_f_f_w_f16m4(
        x->step == 4 ? __riscv_vle32_v_f32m8(whole, vl) : __riscv_vlse32_v_f32m8(whole, x->step, vl), vl);
}

static inline __attribute__((always_inline)) _Float16 scalar(const operand *x, const uint8_t *at)
{
    return pe_zvfh_f16_at(at, 0, x->is_f16);
}

static inline __attribute__((always_inline)) vfloat32m8_t load_sums(const float *c, size_t lane, size_t vl)
{
    return lane == 1 ? __riscv_vle32_v_f32m8(c, vl) : __riscv_vlse32_v_f32m8(c, (ptrdiff_t)(lane * sizeof *c), vl);
}

static inline __attribute__((always_inline)) void store_sums(float *c, size_t lane, vfloat32m8_t sum, size_t vl)
{
    if (lane == 1)
        __riscv_vse32_v_f32m8(c, sum, vl);
    else
        __riscv_vsse32_v_f32m8(c, (ptrdiff_t)(lane * sizeof *c), sum, vl);
}

static inline __attribute__((always_inline)) vfloat16m4_t start(const pe_acc_geometry *g, place c, size_t vl)
{
    if (g->fresh) {
        store_sums(c.sums, c.lane, __riscv_vfmv_v_f_f32m8(0, vl), vl);
        return __riscv_vfmv_v_f_f16m4(0, vl);
    }
    return c.lane == 1 ? __riscv_vle16_v_f16m4(c.runs, vl)
                       : __riscv_vlse16_v_f16m4(c.runs, (ptrdiff_t)(c.lane * sizeof *c.runs), vl);
}

static inline __attribute__((always_inline)) void end(place c, vfloat16m4_t run, size_t vl)
{
    if (c.lane == 1)
        __riscv_vse16_v_f16m4(c.runs, run, vl);
    else
        __riscv_vsse16_v_f16m4(c.runs, (ptrdiff_t)(c.lane * sizeof *c.runs), run, vl);
}

/* The run goes into the sums; a new one. */
static inline __attribute__((always_inline)) vfloat16m4_t flush(place c, vfloat16m4_t run, size_t vl)
{
    store_sums(c.sums, c.lane, __riscv_vfwadd_wv_f32m8(load_sums(c.sums, c.lane, vl), run, vl), vl);
    return __riscv_vfmv_v_f_f16m4(0, vl);
}

static inline __attribute__((always_inline)) place next(place c, size_t n)
{
    return (place){c.sums + n * c.next, c.runs + n * c.next, c.lane, c.next};
}

/* x lies across the lanes; of s there are four scalars a product, or one. */
static inline __attribute__((always_inline)) void tile(const pe_acc_geometry *g, bool four, size_t vl, operand x,
                                                       operand s, place c)
{
    const place c1 = next(c, 1), c2 = next(c, 2), c3 = next(c, 3);
    vfloat16m4_t s0 = start(g, c, vl), s1 = s0, s2 = s0, s3 = s0;
    if (four)
        s1 = start(g, c1, vl), s2 = start(g, c2, vl), s3 = start(g, c3, vl);
    const uint8_t *p = x.at, *q = s.at;
    const ptrdiff_t x_next = x.row - (ptrdiff_t)g->k * x.product, s_next = s.row - (ptrdiff_t)g->k * s.product;
    size_t in_run = g->in_run, left = g->k;
    for (size_t rows = g->rows;;) {
        const size_t n = left < PE_FAST16_RUN - in_run ? left : PE_FAST16_RUN - in_run;
#pragma GCC unroll 4
        for (size_t k = n; k; k--, p += x.product, q += s.product) {
            const vfloat16m4_t w = load(&x, p, vl);
            s0 = __riscv_vfmacc_vf_f16m4(s0, scalar(&s, q), w, vl);
            if (four) {
                s1 = __riscv_vfmacc_vf_f16m4(s1, scalar(&s, q + s.step), w, vl);
                s2 = __riscv_vfmacc_vf_f16m4(s2, scalar(&s, q + 2 * s.step), w, vl);
                s3 = __riscv_vfmacc_vf_f16m4(s3, scalar(&s, q + 3 * s.step), w, vl);
            }
        }
        in_run += n;
        if (in_run == PE_FAST16_RUN) {
            s0 = flush(c, s0, vl);
            if (four)
                s1 = flush(c1, s1, vl), s2 = flush(c2, s2, vl), s3 = flush(c3, s3, vl);
            in_run = 0;
        }
        left -= n;
        if (left)
            continue;
        if (--rows == 0)
            break;
        p += x_next;
        q += s_next;
        left = g->k;
    }
    end(c, s0, vl);
    if (four)
        end(c1, s1, vl), end(c2, s2, vl), end(c3, s3, vl);
}

/* Four scalars, or one, with all lanes: `lanes` of them. */
static inline __attribute__((always_inline)) void strip(const pe_acc_geometry *g, bool four, size_t lanes, operand x,
                                                        operand s, place c)
{
    for (size_t vl; lanes; lanes -= vl) {
        vl = __riscv_vsetvl_e16m4(lanes);
        tile(g, four, vl, x, s, c);
        x.at += (ptrdiff_t)vl * x.step;
        c.sums += vl * c.lane;
        c.runs += vl * c.lane;
    }
}

/* The forms that gradients have, all float16, with steps that a compiler sees; apart, so that each has the registers for
 * itself. */
typedef void form(const pe_acc_geometry *g, size_t lanes, const operand *x, const operand *s, const place *c);

static __attribute__((noinline)) void columns_by_rows(const pe_acc_geometry *g, size_t lanes, const operand *x,
                                                      const operand *s, const place *c)
{
    strip(g, true, lanes, (operand){x->at, 2, x->product, x->row, true}, (operand){s->at, 2, s->product, s->row, true},
          (place){c->sums, c->runs, 1, c->next});
}

static __attribute__((noinline)) void columns_by_products(const pe_acc_geometry *g, size_t lanes, const operand *x,
                                                          const operand *s, const place *c)
{
    strip(g, true, lanes, (operand){x->at, 2, x->product, x->row, true}, (operand){s->at, s->step, 2, s->row, true},
          (place){c->sums, c->runs, 1, c->next});
}

static __attribute__((noinline)) void rows_by_columns(const pe_acc_geometry *g, size_t lanes, const operand *x,
                                                      const operand *s, const place *c)
{
    strip(g, true, lanes, (operand){x->at, x->step, x->product, x->row, true},
          (operand){s->at, 2, s->product, s->row, true}, (place){c->sums, c->runs, c->lane, 1});
}

static __attribute__((noinline)) void any_four(const pe_acc_geometry *g, size_t lanes, const operand *x,
                                               const operand *s, const place *c)
{
    strip(g, true, lanes, *x, *s, *c);
}

static __attribute__((noinline)) void any_one(const pe_acc_geometry *g, size_t lanes, const operand *x,
                                              const operand *s, const place *c)
{
    strip(g, false, lanes, *x, *s, *c);
}

void pe_gemm_acc_fast16__zvfh_4x1(const pe_acc_geometry *g, const void *a, const void *b, float *c, uint16_t *runs)
{
    const ptrdiff_t a_bytes = g->a_is_f16 ? 2 : 4, b_bytes = g->b_is_f16 ? 2 : 4;
    const size_t most = __riscv_vsetvlmax_e16m4();
    const bool half = g->a_is_f16 && g->b_is_f16;
    /* Vectors in all, with columns or rows of c across them. */
    const bool by_rows = ((g->m - 1) / most + 1) * g->n < ((g->n - 1) / most + 1) * g->m;
    operand x = {b, b_bytes, (ptrdiff_t)g->b_k * b_bytes, g->b_row * b_bytes, g->b_is_f16};
    operand s = {a, (ptrdiff_t)g->a_m * a_bytes, (ptrdiff_t)g->a_k * a_bytes, g->a_row * a_bytes, g->a_is_f16};
    place to = {c, (void *)runs, 1, g->c_m};
    size_t lanes = g->n, left = g->m;
    if (by_rows) {
        const operand columns = x;
        x = s;
        s = columns;
        to.lane = g->c_m;
        to.next = 1;
        lanes = g->m;
        left = g->n;
    }
    form *four = any_four;
    if (half && by_rows)
        four = rows_by_columns;
    else if (half && s.step == 2)
        four = columns_by_rows;
    else if (half && s.product == 2)
        four = columns_by_products;
    for (size_t n; left; left -= n) {
        n = left < 4 ? 1 : 4;
        (n == 4 ? four : any_one)(g, lanes, &x, &s, &to);
        s.at += (ptrdiff_t)n * s.step;
        to = next(to, n);
    }
}
