#include "kernels/pool_shape.h"
#include "kernels/x86/s32.h"

/* avg_pool2d_s8 and max_pool2d_s8, and mean_s8 over rows and columns, which is one window without a division.
 * GROUP channels at once, as int16. */

enum { GROUP = 2 * PE_LANES };

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
PE_INLINE pe_iv sum_of(const pe_pool_window *w, size_t channels, size_t n)
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
PE_INLINE pe_iv average(const pe_pool_shape *l, pe_iv sum, int32_t count)
{
    const pe_iv sign = PE_IV(srai_epi32)(sum, 31);
    const pe_iv up = PE_IV(add_epi32)(PE_IV(abs_epi32)(sum), PE_IV(set1_epi32)(count / 2));
    const pe_iv mean = PE_IV(cvttps_epi32)(PE_IV(div_ps)(PE_IV(cvtepi32_ps)(up), PE_IV(set1_ps)((float)count)));
    const pe_iv y = PE_IV(sub_epi32)(PE_IV_SI(xor)(mean, sign), sign);
    return PE_IV(min_epi32)(PE_IV(max_epi32)(y, PE_IV(set1_epi32)(l->out.min)), PE_IV(set1_epi32)(l->out.max));
}

PE_INLINE void avg(const pe_pool_shape *l, const pe_pool_window *w, int8_t *y, size_t n)
{
    const pe_iv sum = sum_of(w, l->channels, n);
    const int32_t count = w->rows * w->cols;
    store(y, (const pe_iv[2]){average(l, widen(sum, 0), count), average(l, widen(sum, 1), count)}, n);
}

PE_INLINE void mean(const pe_pool_shape *l, const pe_pool_window *w, int8_t *y, size_t n)
{
    const pe_iv sum = sum_of(w, l->channels, n), zero = PE_IV(set1_epi32)(l->zero_sum);
    const pe_factor f = pe_factor_of(l->multiplier, l->shift);
    pe_iv half[2];
    PE_FOR (i, 2)
        half[i] = pe_iv_output(pe_iv_requantize(PE_IV(sub_epi32)(widen(sum, i), zero), &f), &l->out);
    store(y, half, n);
}

PE_INLINE void max(const pe_pool_shape *l, const pe_pool_window *w, int8_t *y, size_t n)
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

static bool takes_pool(const pe_call *c, pe_layer_bytes *bytes)
{
    bytes->packed = sizeof(pe_pool_shape);
    return pe_pool_takes(c);
}

static bool takes_mean(const pe_call *c, pe_layer_bytes *bytes)
{
    bytes->packed = sizeof(pe_pool_shape);
    return pe_pool_mean_takes(c);
}

static void run_avg(const void *packed, uint8_t *arena, uint8_t *work)
{
    (void)work;
    pe_pool_each(packed, arena, avg, GROUP);
}

static void run_max(const void *packed, uint8_t *arena, uint8_t *work)
{
    (void)work;
    pe_pool_each(packed, arena, max, GROUP);
}

static void run_mean(const void *packed, uint8_t *arena, uint8_t *work)
{
    (void)work;
    pe_pool_each(packed, arena, mean, GROUP);
}

const pe_layer PE_LEVEL(pe_layer_avg_pool2d_s8) = {PE_OP_AVG_POOL2D_S8, PE_LEVEL_NAME(avg_pool2d_s8), takes_pool,
                                                   pe_pool_pack, run_avg};
const pe_layer PE_LEVEL(pe_layer_max_pool2d_s8) = {PE_OP_MAX_POOL2D_S8, PE_LEVEL_NAME(max_pool2d_s8), takes_pool,
                                                   pe_pool_pack, run_max};
const pe_layer PE_LEVEL(pe_layer_mean_s8) = {PE_OP_MEAN_S8, PE_LEVEL_NAME(mean_s8), takes_mean, pe_pool_mean_pack,
                                             run_mean};
