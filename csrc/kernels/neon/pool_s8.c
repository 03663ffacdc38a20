#include "kernels/neon/neon.h"
#include "kernels/pool_shape.h"

/* avg_pool2d_s8 and max_pool2d_s8, and mean_s8 over rows and columns, which is one window without a division. 16 channels at
 * once; lanes behind the last one read the next column's, and nothing behind x. */

enum { LANES = 16 };

PE_INLINE void store(int8_t *y, int8x16_t v, size_t n)
{
    pe_neon_store_part(y, 0, &v, 1, n);
}

/* 16 channels, n of which matter. */
PE_INLINE int8x16_t load(const int8_t *at, const int8_t *end, size_t n)
{
    if (n == LANES || end - at >= LANES)
        return vld1q_s8(at);
    int8_t last[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        last[i] = at[i];
    return vld1q_s8(last);
}

/* Sums as int16: up to 256 elements fit. */
PE_INLINE void sum16(const pe_pool_window *w, size_t step, size_t n, int32x4_t sum[4])
{
    int16x8_t low = vdupq_n_s16(0), high = low;
    const int8_t *row = w->from;
    for (int32_t i = w->rows; i; i--, row += w->row_step) {
        const int8_t *at = row;
        for (int32_t k = w->cols; k; k--, at += step) {
            const int8x16_t x = load(at, w->end, n);
            low = vaddw_s8(low, vget_low_s8(x));
            high = vaddw_high_s8(high, x);
        }
    }
    sum[0] = vmovl_s16(vget_low_s16(low));
    sum[1] = vmovl_high_s16(low);
    sum[2] = vmovl_s16(vget_low_s16(high));
    sum[3] = vmovl_high_s16(high);
}

/* Halves away from zero. The quotient of floats is cut off right: it is below 2^8, and one that is no integer is at least
 * 1/256 from the next. */
PE_INLINE int32x4_t divided(int32x4_t sum, float32x4_t count, int32x4_t half)
{
    const int32x4_t up = vaddq_s32(vabsq_s32(sum), half);
    const int32x4_t mean = vcvtq_s32_f32(vdivq_f32(vcvtq_f32_s32(up), count));
    return vbslq_s32(vcltzq_s32(sum), vnegq_s32(mean), mean);
}

PE_INLINE void avg(const pe_pool_shape *l, const pe_pool_window *w, int8_t *y, size_t n)
{
    const int32_t elements = w->rows * w->cols;
    const float32x4_t count = vdupq_n_f32((float)elements);
    const pe_output_s8 out = {0, l->out.min, l->out.max};
    const pe_neon_clamp clamp = pe_neon_clamp_of(&out);
    int32x4_t sum[4];
    sum16(w, l->channels, n, sum);
    PE_FOR (i, 4)
        sum[i] = divided(sum[i], count, vdupq_n_s32(elements / 2));
    store(y, pe_neon_output16(sum, &clamp, PE_NEON_ANY), n);
}

PE_INLINE void mean(const pe_pool_shape *l, const pe_pool_window *w, int8_t *y, size_t n)
{
    const pe_channel all = {.a = l->multiplier, .b = l->shift};
    pe_neon_rq q;
    pe_neon_rq_set(&q, 0, &all);
    const pe_neon_clamp clamp = pe_neon_clamp_of(&l->out);
    int32x4_t sum[4];
    sum16(w, l->channels, n, sum);
    PE_FOR (i, 4)
        sum[i] = pe_neon_requantize_by(vsubq_s32(sum[i], vdupq_n_s32(l->zero_sum)), vdupq_n_s32(q.multiplier[0]),
                                       vdupq_n_s32(q.left[0]), vdupq_n_s32(q.right[0]), PE_NEON_ANY);
    store(y, pe_neon_output16(sum, &clamp, PE_NEON_ANY), n);
}

PE_INLINE void max(const pe_pool_shape *l, const pe_pool_window *w, int8_t *y, size_t n)
{
    int8x16_t v = vdupq_n_s8(-128);
    const int8_t *row = w->from;
    for (int32_t i = w->rows; i; i--, row += w->row_step) {
        const int8_t *at = row;
        for (int32_t k = w->cols; k; k--, at += l->channels)
            v = vmaxq_s8(v, load(at, w->end, n));
    }
    v = vmaxq_s8(v, vdupq_n_s8((int8_t)l->out.min));
    store(y, vminq_s8(v, vdupq_n_s8((int8_t)l->out.max)), n);
}

static bool takes_pool(const pe_call *c, pe_layer_bytes *bytes)
{
    bytes->packed = sizeof(pe_pool_shape);
    bytes->work = LANES;
    return pe_pool_takes(c);
}

static bool takes_mean(const pe_call *c, pe_layer_bytes *bytes)
{
    bytes->packed = sizeof(pe_pool_shape);
    bytes->work = LANES;
    return pe_pool_mean_takes(c);
}

static void run_avg(const void *packed, uint8_t *arena, uint8_t *work)
{
    (void)work;
    pe_pool_each(packed, arena, avg, LANES);
}

static void run_max(const void *packed, uint8_t *arena, uint8_t *work)
{
    (void)work;
    pe_pool_each(packed, arena, max, LANES);
}

static void run_mean(const void *packed, uint8_t *arena, uint8_t *work)
{
    (void)work;
    pe_pool_each(packed, arena, mean, LANES);
}

const pe_layer pe_layer_avg_pool2d_s8__neon = {PE_OP_AVG_POOL2D_S8, "avg_pool2d_s8__neon", takes_pool, pe_pool_pack,
                                               run_avg};
const pe_layer pe_layer_max_pool2d_s8__neon = {PE_OP_MAX_POOL2D_S8, "max_pool2d_s8__neon", takes_pool, pe_pool_pack,
                                               run_max};
const pe_layer pe_layer_mean_s8__neon = {PE_OP_MEAN_S8, "mean_s8__neon", takes_mean, pe_pool_mean_pack, run_mean};
