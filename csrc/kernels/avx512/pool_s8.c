#include "kernels/avx512/requantize.h"
#include "kernels/layers.h"

/* avg_pool2d_s8 and max_pool2d_s8, and mean_s8 over rows and columns, which is one window without a division.
 * 64 channels at once. */

typedef struct layer {
    size_t x, y; /* in the arena */
    int32_t images, in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    uint32_t channels;
    pe_output_s8 out;
    /* mean */
    int32_t zero_sum; /* count * zero_point(x) */
    pe_rq16 q __attribute__((aligned(64)));
} layer;

/* The part of a window that lies in the image. */
typedef struct window {
    const int8_t *from;
    int32_t rows, cols;
    size_t row_step;
} window;

/* 64 sums as int16, in the order of the channels: up to 256 elements fit. */
PE_INLINE void sum64(const window *w, size_t channels, __mmask64 live, __m512i sum[2])
{
    sum[0] = sum[1] = _mm512_setzero_si512();
    const int8_t *row = w->from;
    for (int32_t i = 0; i < w->rows; i++, row += w->row_step) {
        const int8_t *at = row;
        for (int32_t k = 0; k < w->cols; k++, at += channels) {
            const __m512i x = _mm512_maskz_loadu_epi8(live, at);
            sum[0] = _mm512_add_epi16(sum[0], _mm512_cvtepi8_epi16(_mm512_castsi512_si256(x)));
            sum[1] = _mm512_add_epi16(sum[1], _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(x, 1)));
        }
    }
}

/* 16 of them as int32. */
PE_INLINE __m512i widen(const __m512i sum[2], int i)
{
    const __m512i half = sum[i / 2];
    return _mm512_cvtepi16_epi32(i % 2 ? _mm512_extracti64x4_epi64(half, 1) : _mm512_castsi512_si256(half));
}

/* Halves away from zero. The quotient of floats is cut off right: it is below 2^8, and one that is no integer is at least
 * 1/256 from the next. */
PE_INLINE __m128i avg16(const layer *l, __m512i sum, __m512 count, __m512i half)
{
    const __m512i sign = _mm512_srai_epi32(sum, 31);
    const __m512i up = _mm512_add_epi32(_mm512_abs_epi32(sum), half);
    const __m512i mean = _mm512_cvttps_epi32(_mm512_div_ps(_mm512_cvtepi32_ps(up), count));
    const __m512i y = _mm512_sub_epi32(_mm512_xor_si512(mean, sign), sign);
    return _mm512_cvtsepi32_epi8(
        _mm512_min_epi32(_mm512_max_epi32(y, _mm512_set1_epi32(l->out.min)), _mm512_set1_epi32(l->out.max)));
}

typedef void pool_fn(const layer *l, const window *w, int8_t *y);

static void avg(const layer *l, const window *w, int8_t *y)
{
    const int32_t n = w->rows * w->cols;
    const __m512 count = _mm512_set1_ps((float)n);
    const __m512i half = _mm512_set1_epi32(n / 2);
    for (uint32_t c = 0; c < l->channels; c += 64) {
        const window at = {w->from + c, w->rows, w->cols, w->row_step};
        const __mmask64 live = pe_first64(l->channels - c);
        __m512i sum[2];
        sum64(&at, l->channels, live, sum);
        PE_FOR (i, 4)
            _mm_mask_storeu_epi8(y + c + 16 * i, (__mmask16)(live >> 16 * i), avg16(l, widen(sum, i), count, half));
    }
}

static void mean(const layer *l, const window *w, int8_t *y)
{
    const __m512i zero = _mm512_set1_epi32(l->zero_sum);
    for (uint32_t c = 0; c < l->channels; c += 64) {
        const window at = {w->from + c, w->rows, w->cols, w->row_step};
        const __mmask64 live = pe_first64(l->channels - c);
        __m512i sum[2];
        sum64(&at, l->channels, live, sum);
        PE_FOR (i, 4)
            _mm_mask_storeu_epi8(
                y + c + 16 * i, (__mmask16)(live >> 16 * i),
                _mm512_cvtepi32_epi8(pe_rq16_any(_mm512_sub_epi32(widen(sum, i), zero), &l->q, &l->out)));
    }
}

static void max(const layer *l, const window *w, int8_t *y)
{
    const __m512i low = _mm512_set1_epi8((int8_t)l->out.min), high = _mm512_set1_epi8((int8_t)l->out.max);
    for (uint32_t c = 0; c < l->channels; c += 64) {
        const __mmask64 live = pe_first64(l->channels - c);
        const int8_t *row = w->from + c;
        __m512i v = _mm512_set1_epi8(-128);
        for (int32_t i = 0; i < w->rows; i++, row += w->row_step) {
            const int8_t *at = row;
            for (int32_t k = 0; k < w->cols; k++, at += l->channels)
                v = _mm512_max_epi8(v, _mm512_maskz_loadu_epi8(live, at));
        }
        _mm512_mask_storeu_epi8(y + c, live, _mm512_min_epi8(_mm512_max_epi8(v, low), high));
    }
}

PE_INLINE void each_window(const layer *l, const uint8_t *arena, int8_t *y, pool_fn *pool)
{
    const int8_t *x = (const int8_t *)arena + l->x;
    const size_t row = (size_t)l->in_w * l->channels;
    for (int32_t n = 0; n < l->images; n++, x += (size_t)l->in_h * row)
        for (int32_t oy = 0; oy < l->out_h; oy++) {
            const int32_t top = oy * l->stride_h - l->pad_top, y0 = top < 0 ? 0 : top;
            const int32_t y1 = l->in_h - top < l->kernel_h ? l->in_h : top + l->kernel_h;
            for (int32_t ox = 0; ox < l->out_w; ox++, y += l->channels) {
                const int32_t left = ox * l->stride_w - l->pad_left, x0 = left < 0 ? 0 : left;
                const int32_t x1 = l->in_w - left < l->kernel_w ? l->in_w : left + l->kernel_w;
                const window w = {x + (size_t)y0 * row + (size_t)x0 * l->channels, y1 - y0, x1 - x0, row};
                pool(l, &w, y);
            }
        }
}

static bool takes_pool(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_pool2d_params *p = c->params;
    bytes->packed = sizeof(layer);
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
    return pe_in_arena(x) && x->rank == 4 && ((const pe_mean_params *)c->params)->axes == (1 << 1 | 1 << 2) &&
           (int64_t)x->dims[1] * x->dims[2] <= 256;
}

static void pack_mean(const pe_call *c, void *packed)
{
    const pe_mean_params *p = c->params;
    const pe_tensor *x = c->tensor[0];
    layer *l = packed;
    *l = (layer){
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
    };
    const pe_rq_channel all = {.q = {0, p->multiplier, p->shift}};
    for (size_t i = 0; i < 16; i++)
        pe_rq_set(&l->q, i, PE_RQ_ANY, &all, &l->out, 0, 0);
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

const pe_layer pe_layer_avg_pool2d_s8__avx512 = {PE_OP_AVG_POOL2D_S8, "avg_pool2d_s8__avx512", takes_pool, pack_pool,
                                                 run_avg};
const pe_layer pe_layer_max_pool2d_s8__avx512 = {PE_OP_MAX_POOL2D_S8, "max_pool2d_s8__avx512", takes_pool, pack_pool,
                                                 run_max};
const pe_layer pe_layer_mean_s8__avx512 = {PE_OP_MEAN_S8, "mean_s8__avx512", takes_mean, pack_mean, run_mean};
