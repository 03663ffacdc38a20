#include "kernels/layers.h"
#include "kernels/neon/neon.h"

/* avg_pool2d_s8 and max_pool2d_s8, and mean_s8 over rows and columns, which is one window without a division. 16 channels at
 * once; lanes behind the last one read what lies behind x, in the arena or in work. */

enum { LANES = 16 };

typedef struct layer {
    size_t x, y; /* in the arena */
    int32_t images, in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    uint32_t channels;
    pe_output_s8 out;
    int32_t zero_sum, multiplier, left, right; /* mean; zero_sum: count * zero_point(x) */
} layer;

/* The part of a window that lies in the image. */
typedef struct window {
    const int8_t *from;
    int32_t rows, cols;
    size_t row_step, step;
} window;

/* Sums as int16: up to 256 elements fit. */
PE_INLINE void sum16(const window *w, int32x4_t sum[4])
{
    int16x8_t low = vdupq_n_s16(0), high = low;
    const int8_t *row = w->from;
    for (int32_t i = w->rows; i; i--, row += w->row_step) {
        const int8_t *at = row;
        for (int32_t k = w->cols; k; k--, at += w->step) {
            const int8x16_t x = vld1q_s8(at);
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

PE_INLINE int8x16_t avg(const layer *l, const window *w)
{
    const int32_t n = w->rows * w->cols;
    const float32x4_t count = vdupq_n_f32((float)n);
    const pe_output_s8 out = {0, l->out.min, l->out.max};
    const pe_neon_clamp clamp = pe_neon_clamp_of(&out);
    int32x4_t sum[4];
    sum16(w, sum);
    PE_FOR (i, 4)
        sum[i] = divided(sum[i], count, vdupq_n_s32(n / 2));
    return pe_neon_output16(sum, &clamp, PE_NEON_ANY);
}

PE_INLINE int8x16_t mean(const layer *l, const window *w)
{
    const pe_neon_clamp clamp = pe_neon_clamp_of(&l->out);
    int32x4_t sum[4];
    sum16(w, sum);
    PE_FOR (i, 4)
        sum[i] = pe_neon_requantize_by(vsubq_s32(sum[i], vdupq_n_s32(l->zero_sum)), vdupq_n_s32(l->multiplier),
                                       vdupq_n_s32(l->left), vdupq_n_s32(l->right), PE_NEON_ANY);
    return pe_neon_output16(sum, &clamp, PE_NEON_ANY);
}

PE_INLINE int8x16_t max(const layer *l, const window *w)
{
    int8x16_t v = vdupq_n_s8(-128);
    const int8_t *row = w->from;
    for (int32_t i = w->rows; i; i--, row += w->row_step) {
        const int8_t *at = row;
        for (int32_t k = w->cols; k; k--, at += w->step)
            v = vmaxq_s8(v, vld1q_s8(at));
    }
    return vminq_s8(vmaxq_s8(v, vdupq_n_s8((int8_t)l->out.min)), vdupq_n_s8((int8_t)l->out.max));
}

typedef int8x16_t pool_fn(const layer *l, const window *w);

PE_INLINE void each_window(const layer *l, const uint8_t *arena, int8_t *y, pool_fn *pool)
{
    const int8_t *x = (const int8_t *)arena + l->x;
    const size_t channels = l->channels, row = (size_t)l->in_w * channels;
    for (int32_t n = 0; n < l->images; n++, x += (size_t)l->in_h * row)
        for (int32_t oy = 0; oy < l->out_h; oy++) {
            const int32_t top = oy * l->stride_h - l->pad_top, y0 = top < 0 ? 0 : top;
            const int32_t y1 = l->in_h - top < l->kernel_h ? l->in_h : top + l->kernel_h;
            for (int32_t ox = 0; ox < l->out_w; ox++, y += channels) {
                const int32_t left = ox * l->stride_w - l->pad_left, x0 = left < 0 ? 0 : left;
                const int32_t x1 = l->in_w - left < l->kernel_w ? l->in_w : left + l->kernel_w;
                window w = {x + (size_t)y0 * row + (size_t)x0 * channels, y1 - y0, x1 - x0, row, channels};
                for (size_t c = 0; c < channels; c += LANES, w.from += LANES) {
                    const int8x16_t v = pool(l, &w);
                    pe_neon_store_part(y + c, 0, &v, 1, channels - c < LANES ? channels - c : LANES);
                }
            }
        }
}

static bool takes_pool(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_pool2d_params *p = c->params;
    bytes->packed = sizeof(layer);
    bytes->work = LANES;
    return pe_in_arena(c->tensor[0]) && (int64_t)p->kernel_h * p->kernel_w <= 256;
}

static void pack_pool(const pe_call *c, void *packed)
{
    const pe_pool2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    *(layer *)packed = (layer){
        .x = x->offset,
        .y = y->offset,
        .images = x->dims[0],
        .in_h = x->dims[1],
        .in_w = x->dims[2],
        .out_h = y->dims[1],
        .out_w = y->dims[2],
        .kernel_h = p->kernel_h,
        .kernel_w = p->kernel_w,
        .stride_h = p->stride_h,
        .stride_w = p->stride_w,
        .pad_top = p->pad_top,
        .pad_left = p->pad_left,
        .channels = (uint32_t)x->dims[3],
        .out = {0, p->y_min, p->y_max},
    };
}

static bool takes_mean(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_tensor *x = c->tensor[0];
    bytes->packed = sizeof(layer);
    bytes->work = LANES;
    return pe_in_arena(x) && x->rank == 4 && ((const pe_mean_params *)c->params)->axes == (1 << 1 | 1 << 2) &&
           (int64_t)x->dims[1] * x->dims[2] <= 256;
}

static void pack_mean(const pe_call *c, void *packed)
{
    const pe_mean_params *p = c->params;
    const pe_tensor *x = c->tensor[0];
    const pe_channel all = {.a = p->multiplier, .b = p->shift};
    pe_neon_rq q;
    pe_neon_rq_set(&q, 0, &all);
    *(layer *)packed = (layer){
        .x = x->offset,
        .y = c->tensor[1]->offset,
        .images = x->dims[0],
        .in_h = x->dims[1],
        .in_w = x->dims[2],
        .out_h = 1,
        .out_w = 1,
        .kernel_h = x->dims[1],
        .kernel_w = x->dims[2],
        .channels = (uint32_t)x->dims[3],
        .out = {p->y_zero_point, -128, 127},
        .zero_sum = p->x_zero_point * x->dims[1] * x->dims[2],
        .multiplier = q.multiplier[0],
        .left = q.left[0],
        .right = q.right[0],
    };
}

static void run_avg(const void *packed, uint8_t *arena, uint8_t *work)
{
    (void)work;
    each_window(packed, arena, (int8_t *)arena + ((const layer *)packed)->y, avg);
}

static void run_max(const void *packed, uint8_t *arena, uint8_t *work)
{
    (void)work;
    each_window(packed, arena, (int8_t *)arena + ((const layer *)packed)->y, max);
}

static void run_mean(const void *packed, uint8_t *arena, uint8_t *work)
{
    (void)work;
    each_window(packed, arena, (int8_t *)arena + ((const layer *)packed)->y, mean);
}

const pe_layer pe_layer_avg_pool2d_s8__neon = {PE_OP_AVG_POOL2D_S8, "avg_pool2d_s8__neon", takes_pool, pack_pool,
                                               run_avg};
const pe_layer pe_layer_max_pool2d_s8__neon = {PE_OP_MAX_POOL2D_S8, "max_pool2d_s8__neon", takes_pool, pack_pool,
                                               run_max};
const pe_layer pe_layer_mean_s8__neon = {PE_OP_MEAN_S8, "mean_s8__neon", takes_mean, pack_mean, run_mean};
