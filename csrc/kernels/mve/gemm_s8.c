#include "kernels/mve/mve.h"

/* Contract: kernels.h, pe_gemm_s8_fn. Three rows of a by four of b at a time, what is left of a row by row; the last four rows
 * of b overlap with those before where their number is no multiple of four. Where b has fewer, or a shift is not short, each
 * output is a dot product by itself. */

bool pe_mve_all_short(const pe_channel *q, size_t n)
{
    const uint32x4_t offsets = vmulq_n_u32(vidupq_n_u32(0, 1), sizeof *q);
    for (int32_t left = (int32_t)n; left > 0; left -= 4, q += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)left);
        const uint32x4_t shift = vreinterpretq_u32_s32(vldrwq_gather_offset_z_s32(&q->b, offsets, p));
        if (vcmphiq_m_n_u32(vsubq_n_u32(shift, 2), 29, p))
            return false;
    }
    return true;
}

static uint32_t dot(size_t k, const int8_t *a, const int8_t *b)
{
    int32_t sum = 0;
    for (int32_t left = (int32_t)k; left > 0; left -= 16, a += 16, b += 16) {
        const mve_pred16_t p = vctp8q((uint32_t)left);
        sum = vmladavaq_s8(sum, vldrbq_z_s8(a, p), vldrbq_z_s8(b, p));
    }
    return (uint32_t)sum;
}

static void blocks(pe_mve_rows t, void (*rows)(const pe_mve_rows *), size_t n)
{
    t.blocks = (uint32_t)(n / 4);
    rows(&t);
    if (n % 4) {
        t.w += (n - 4) * t.k;
        t.q += n - 4;
        t.y += n - 4;
        t.blocks = 1;
        rows(&t);
    }
}

void pe_mve_gemm_s8(size_t m, size_t n, size_t k, const int8_t *a, size_t a_stride, const int8_t *b,
                    const pe_channel *q, const pe_output_s8 *out, int8_t *c, size_t c_stride)
{
    pe_mve_rows t = {
        .w = b,
        .q = q,
        .y = c,
        .y_stride = (uint32_t)c_stride,
        .k = (uint32_t)k,
        .zero_point = out->zero_point,
        .min = out->min,
        .max = out->max,
    };
    for (; m; t.y += t.y_stride) {
        t.x[0] = a;
        if (m < 3) {
            blocks(t, pe_mve_1_row_s8, n);
            m--, a += a_stride;
            continue;
        }
        t.x[1] = a + a_stride;
        t.x[2] = t.x[1] + a_stride;
        blocks(t, k > 16 ? pe_mve_3_rows_s8 : pe_mve_3_short_rows_s8, n);
        m -= 3, a += 3 * a_stride, t.y += 2 * t.y_stride;
    }
}

void pe_gemm_s8__mve_3x4(size_t m, size_t n, size_t k, const int8_t *a, size_t a_stride, const int8_t *b,
                         const pe_channel *q, const pe_output_s8 *out, int8_t *c, size_t c_stride)
{
    if (n >= 4 && pe_mve_all_short(q, n)) {
        pe_mve_gemm_s8(m, n, k, a, a_stride, b, q, out, c, c_stride);
        return;
    }
    for (; m; m--, a += a_stride, c += c_stride)
        for (size_t j = 0; j < n; j++)
            c[j] = pe_requantize_s8((uint32_t)q[j].bias + dot(k, a, b + j * k), q[j].a, q[j].b, out);
}
