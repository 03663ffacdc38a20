#include "kernels/rvv/rvv.h"

/* Contract: kernels.h, pe_gemm_s8_fn. k lies across the vectors, for two rows of b at a time: both operands are read as they
 * lie, which fits a single row of a, and few. */

#define COLUMNS 64 /* sums that are requantized together; even */

static int32_t total(vint32m8_t sums)
{
    const size_t all = __riscv_vsetvlmax_e32m8();
    const vint32m1_t zero = __riscv_vmv_s_x_i32m1(0, 1);
    return __riscv_vmv_x_s_i32m1_i32(__riscv_vredsum_vs_i32m8_i32m1(sums, zero, all));
}

#define LOAD(from, vl) __riscv_vsext_vf2_i16m4(__riscv_vle8_v_i8m2(from, vl), vl)

/* One row of a by n rows of b, two at a time; an odd last one is its own partner, and sums[n] is written as well. Not
 * inlined: the sums of two rows are half of the registers. */
static __attribute__((noinline)) void dots(size_t n, size_t k, const int8_t *a, const int8_t *b, int32_t *sums)
{
    const size_t all = __riscv_vsetvlmax_e16m4();
    for (const int32_t *end = sums + n; sums < end; sums += 2, b += 2 * k) {
        const int8_t *x0 = a, *b0 = b, *b1 = end - sums > 1 ? b + k : b;
        vint32m8_t s0 = __riscv_vmv_v_x_i32m8(0, all), s1 = s0;
        size_t left = k;
        for (; left >= all; left -= all, x0 += all, b0 += all, b1 += all) {
            const vint16m4_t x = LOAD(x0, all);
            s0 = __riscv_vwmacc_vv_i32m8(s0, x, LOAD(b0, all), all);
            s1 = __riscv_vwmacc_vv_i32m8(s1, x, LOAD(b1, all), all);
        }
        if (left) { /* the other elements of the sums stay */
            const vint16m4_t x = LOAD(x0, left);
            s0 = __riscv_vwmacc_vv_i32m8_tu(s0, x, LOAD(b0, left), left);
            s1 = __riscv_vwmacc_vv_i32m8_tu(s1, x, LOAD(b1, left), left);
        }
        sums[0] = total(s0);
        sums[1] = total(s1);
    }
}

/* Shifts that are not short are rare: one multiplier at a time. */
static __attribute__((noinline)) void store_any(size_t n, const int32_t *sums, const pe_channel *q,
                                                const pe_output_s8 *out, int8_t *c)
{
    for (size_t i = 0; i < n; i++)
        c[i] = pe_requantize_s8((uint32_t)sums[i] + (uint32_t)q[i].bias, q[i].a, q[i].b, out);
}

static void store(size_t n, const int32_t *sums, const pe_channel *q, const pe_output_s8 *out, int8_t *c)
{
    for (size_t vl; n; n -= vl, sums += vl, q += vl, c += vl) {
        vl = __riscv_vsetvl_e32m8(n);
        const vint32m8_t shift = pe_rvv_load_field(&q->b, vl);
        if (!pe_rvv_shifts_are_short(shift, vl)) {
            store_any(vl, sums, q, out, c);
            continue;
        }
        const vint32m8_t multiplier = __riscv_vand_vx_i32m8(pe_rvv_load_field(&q->a, vl), INT32_MAX, vl);
        const vint32m8_t sum =
            __riscv_vadd_vv_i32m8(__riscv_vle32_v_i32m8(sums, vl), pe_rvv_load_field(&q->bias, vl), vl);
        const vuint32m8_t distance = __riscv_vreinterpret_v_i32m8_u32m8(shift);
        __riscv_vse8_v_i8m2(c, pe_rvv_requantize_each(sum, multiplier, distance, out, vl), vl);
    }
}

void pe_gemm_s8__rvv_1x2(size_t m, size_t n, size_t k, const int8_t *a, size_t a_stride, const int8_t *b,
                         const pe_channel *q, const pe_output_s8 *out, int8_t *c, size_t c_stride)
{
    int32_t sums[COLUMNS];
    for (; m; m--, a += a_stride, c += c_stride)
        for (size_t first = 0; first < n; first += COLUMNS) {
            const size_t width = n - first < COLUMNS ? n - first : COLUMNS;
            dots(width, k, a, b + first * k, sums);
            store(width, sums, q + first, out, c + first);
        }
}
