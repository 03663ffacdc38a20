#include "kernels/layers.h"
#include "kernels/x86/s32.h"

/* avg_pool2d_s8 and max_pool2d_s8, and mean_s8 over rows and columns, which is one window without a division.
 * GROUP channels at once, as int16. */

enum { GROUP = 2 * PE_LANES };

typedef struct layer {
    size_t x, y; /* in the arena */
    int32_t images, in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    uint32_t channels;
    pe_output_s8 out;
    /* mean */
    int32_t zero_sum; /* count * zero_point(x) */
    int32_t multiplier, shift;
} layer;

/* The part of a window that lies in the image. */
typedef struct window {
    const int8_t *from;
    int32_t rows, cols;
    size_t row_step;
} window;

/* The first n of GROUP bytes as int16. */
PE_INLINE pe_iv load(const int8_t *p, size_t n)
{
#ifdef __AVX512F__
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(n >= GROUP ? ~(__mmask32)0 : (1u << n) - 1, p));
#else
    int8_t part[GROUP] = {0};
    for (size_t i = 0; n < GROUP && i < n; i++)
        part[i] = p[i];
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(n < GROUP ? part : p)));
#endif
}

/* Half `i` of the lanes as int32. */
PE_INLINE pe_iv widen(pe_iv x, const int i)
{
#ifdef __AVX512F__
    return _mm512_cvtepi16_epi32(i ? _mm512_extracti64x4_epi64(x, 1) : _mm512_castsi512_si256(x));
#else
    return _mm256_cvtepi16_epi32(i ? _mm256_extracti128_si256(x, 1) : _mm256_castsi256_si128(x));
#endif
}

/* Stores the halves of n channels. */
PE_INLINE void store(int8_t *y, const pe_iv half[2], size_t n)
{
    pe_iv_store_s8(y, half[0], n);
    if (n > PE_LANES)
        pe_iv_store_s8(y + PE_LANES, half[1], n - PE_LANES);
}

/* Sums of n channels: up to 256 elements fit. */
PE_INLINE pe_iv sum_of(const window *w, size_t channels, size_t n)
{
    pe_iv sum = PE_IV_SI(setzero)();
    const int8_t *row = w->from;
    for (int32_t i = 0; i < w->rows; i++, row += w->row_step) {
        const int8_t *at = row;
        for (int32_t k = 0; k < w->cols; k++, at += channels)
            sum = PE_IV(add_epi16)(sum, load(at, n));
    }
    return sum;
}

/* Halves away from zero. The quotient of floats is cut off right: it is below 2^8, and one that is no integer is at least
 * 1/256 from the next. */
PE_INLINE pe_iv average(const layer *l, pe_iv sum, int32_t count)
{
    const pe_iv sign = PE_IV(srai_epi32)(sum, 31);
    const pe_iv up = PE_IV(add_epi32)(PE_IV(abs_epi32)(sum), PE_IV(set1_epi32)(count / 2));
    const pe_iv mean = PE_IV(cvttps_epi32)(PE_IV(div_ps)(PE_IV(cvtepi32_ps)(up), PE_IV(set1_ps)((float)count)));
    const pe_iv y = PE_IV(sub_epi32)(PE_IV_SI(xor)(mean, sign), sign);
    return PE_IV(min_epi32)(PE_IV(max_epi32)(y, PE_IV(set1_epi32)(l->out.min)), PE_IV(set1_epi32)(l->out.max));
}

/* n channels of y from w->from on. */
typedef void pool_fn(const layer *l, const window *w, int8_t *y, size_t n);

PE_INLINE void avg(const layer *l, const window *w, int8_t *y, size_t n)
{
    const pe_iv sum = sum_of(w, l->channels, n);
    const int32_t count = w->rows * w->cols;
    store(y, (const pe_iv[2]){average(l, widen(sum, 0), count), average(l, widen(sum, 1), count)}, n);
}

PE_INLINE void mean(const layer *l, const window *w, int8_t *y, size_t n)
{
    const pe_iv sum = sum_of(w, l->channels, n), zero = PE_IV(set1_epi32)(l->zero_sum);
    const pe_factor f = pe_factor_of(l->multiplier, l->shift);
    pe_iv half[2];
    PE_FOR (i, 2)
        half[i] = pe_iv_output(pe_iv_requantize(PE_IV(sub_epi32)(widen(sum, i), zero), &f), &l->out);
    store(y, half, n);
}

PE_INLINE void max(const layer *l, const window *w, int8_t *y, size_t n)
{
    pe_iv most = PE_IV(set1_epi16)((int16_t)l->out.min);
    const int8_t *row = w->from;
    for (int32_t i = 0; i < w->rows; i++, row += w->row_step) {
        const int8_t *at = row;
        for (int32_t k = 0; k < w->cols; k++, at += l->channels)
            most = PE_IV(max_epi16)(most, load(at, n));
    }
    most = PE_IV(min_epi16)(most, PE_IV(set1_epi16)((int16_t)l->out.max));
    store(y, (const pe_iv[2]){widen(most, 0), widen(most, 1)}, n);
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
                window w = {x + (size_t)y0 * row + (size_t)x0 * l->channels, y1 - y0, x1 - x0, row};
                size_t c = 0;
                for (; c + GROUP <= l->channels; c += GROUP, w.from += GROUP)
                    pool(l, &w, y + c, GROUP);
                if (c < l->channels)
                    pool(l, &w, y + c, l->channels - c);
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
        .multiplier = p->multiplier,
        .shift = p->shift,
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

const pe_layer PE_LEVEL(pe_layer_avg_pool2d_s8) = {PE_OP_AVG_POOL2D_S8, PE_LEVEL_NAME(avg_pool2d_s8), takes_pool,
                                                   pack_pool, run_avg};
const pe_layer PE_LEVEL(pe_layer_max_pool2d_s8) = {PE_OP_MAX_POOL2D_S8, PE_LEVEL_NAME(max_pool2d_s8), takes_pool,
                                                   pack_pool, run_max};
const pe_layer PE_LEVEL(pe_layer_mean_s8) = {PE_OP_MEAN_S8, PE_LEVEL_NAME(mean_s8), takes_mean, pack_mean, run_mean};
