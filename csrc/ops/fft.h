/* The real FFT and its inverse for one element type, with the arithmetic of KISS FFT (docs/arithmetic.md). Included by the
 * files fft_*.c, which define before:
 *
 *     real                      the element type
 *     r_add, r_sub, r_neg       sums; integers wrap
 *     r_shrink(x, k)            integers: x / k, rounded, so that a butterfly of k inputs cannot overflow
 *     r_dot(a, b, c, d, minus)  a * b + c * d, or a * b - c * d, as one value
 *     r_half(x, y, minus)       half of x + y, or of x - y
 *     r_mean(x, n)              floats: x / n
 *     REAL_DTYPE
 *
 * A table has 3 n / 4 complex factors for length n: e^(-2 pi i k / m) for k < m = n / 2, then those of the split,
 * e^(-pi i ((k + 1) / m + 1/2)) for k < m / 2; for the inverse their conjugates. */
#include "fft_shape.h"

typedef struct pe_complex {
    real re, im;
} pe_complex;

static inline pe_complex c_add(pe_complex a, pe_complex b)
{
    return (pe_complex){r_add(a.re, b.re), r_add(a.im, b.im)};
}

static inline pe_complex c_sub(pe_complex a, pe_complex b)
{
    return (pe_complex){r_sub(a.re, b.re), r_sub(a.im, b.im)};
}

static inline pe_complex c_mul(pe_complex a, pe_complex b)
{
    return (pe_complex){r_dot(a.re, b.re, a.im, b.im, true), r_dot(a.re, b.im, a.im, b.re, false)};
}

static inline pe_complex c_conj(pe_complex a)
{
    return (pe_complex){a.re, r_neg(a.im)};
}

static inline pe_complex c_shrink(pe_complex a, int32_t k)
{
    return (pe_complex){r_shrink(a.re, k), r_shrink(a.im, k)};
}

/* a * i, or a * -i. */
static inline pe_complex c_turn(pe_complex a, bool forward)
{
    return forward ? (pe_complex){a.im, r_neg(a.re)} : (pe_complex){r_neg(a.im), a.re};
}

/* The transform of m elements of z, in place, which stand in the order of pe_fft_source: radix 4 from the inside out, and
 * once radix 2 if m is no power of 4. */
static void transform(pe_complex *z, uint32_t m, const pe_complex *table, bool inverse)
{
    uint32_t span = 1;
    if (!pe_is_power_of_4(m)) {
        for (uint32_t i = 0; i < m; i += 2) {
            pe_complex a = c_shrink(z[i], 2), b = c_mul(c_shrink(z[i + 1], 2), table[0]);
            z[i] = c_add(a, b);
            z[i + 1] = c_sub(a, b);
        }
        span = 2;
    }
    for (; span < m; span *= 4) {
        uint32_t stride = m / span / 4; /* between neighbors' factors */
        for (uint32_t start = 0; start < m; start += 4 * span) {
            for (uint32_t k = 0; k < span; k++) {
                pe_complex *p = z + start + k;
                pe_complex a = c_shrink(p[0], 4);
                pe_complex b = c_mul(c_shrink(p[span], 4), table[k * stride]);
                pe_complex c = c_mul(c_shrink(p[2 * span], 4), table[k * stride * 2]);
                pe_complex d = c_mul(c_shrink(p[3 * span], 4), table[k * stride * 3]);
                pe_complex even = c_add(a, c), odd = c_sub(a, c), sum = c_add(b, d);
                pe_complex turned = c_turn(c_sub(b, d), !inverse);
                p[0] = c_add(even, sum);
                p[span] = c_add(odd, turned);
                p[2 * span] = c_sub(even, sum);
                p[3 * span] = c_sub(odd, turned);
            }
        }
    }
}

/* Even elements as real parts, odd ones as imaginary parts: one complex transform of half the length, then the split. */
static void rfft_row(const real *x, uint32_t count, uint32_t m, const pe_complex *table, pe_complex *z, pe_complex *y)
{
    for (uint32_t i = 0; i < m; i++) {
        uint32_t at = 2 * pe_fft_source(i, m);
        z[i] = (pe_complex){at < count ? x[at] : 0, at + 1 < count ? x[at + 1] : 0};
    }
    transform(z, m, table, false);
    pe_complex first = c_shrink(z[0], 2);
    y[0] = (pe_complex){r_add(first.re, first.im), 0};
    y[m] = (pe_complex){r_sub(first.re, first.im), 0};
    for (uint32_t k = 1; k <= m / 2; k++) {
        pe_complex a = c_shrink(z[k], 2), b = c_shrink(c_conj(z[m - k]), 2);
        pe_complex even = c_add(a, b), odd = c_mul(c_sub(a, b), table[m + k - 1]);
        y[k] = (pe_complex){r_half(even.re, odd.re, false), r_half(even.im, odd.im, false)};
        y[m - k] = (pe_complex){r_half(even.re, odd.re, true), r_half(odd.im, even.im, true)};
    }
}

static void irfft_row(const pe_complex *x, uint32_t m, const pe_complex *table, pe_complex *z, pe_complex *y)
{
    z[0] = c_shrink((pe_complex){r_add(x[0].re, x[m].re), r_sub(x[0].re, x[m].re)}, 2);
    for (uint32_t k = 1; k <= m / 2; k++) {
        pe_complex a = c_shrink(x[k], 2), b = c_shrink(c_conj(x[m - k]), 2);
        pe_complex even = c_add(a, b), odd = c_mul(c_sub(a, b), table[m + k - 1]);
        z[k] = c_add(even, odd);
        z[m - k] = c_conj(c_sub(even, odd));
    }
    for (uint32_t i = 0; i < m; i++)
        y[i] = z[pe_fft_source(i, m)];
    transform(y, m, table, true);
    for (uint32_t i = 0; i < m; i++)
        y[i] = (pe_complex){r_mean(y[i].re, 2 * m), r_mean(y[i].im, 2 * m)};
}

static pe_status check_rfft(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    *text = pe_fft_fault(c, REAL_DTYPE, c->tensor[2]);
    if (*text)
        return PE_ERR_SHAPE;
    uint32_t length = pe_last_dim(c->tensor[2]) - 2;
    *text = "signal_rfft: x has more elements than the transform";
    if (pe_last_dim(c->tensor[0]) > length)
        return PE_ERR_SHAPE;
    *scratch_bytes = length * (uint32_t)sizeof(real);
    return PE_OK;
}

static void run_rfft(const pe_call *c)
{
    uint32_t count = pe_last_dim(c->tensor[0]), m = pe_last_dim(c->tensor[2]) / 2 - 1;
    uint32_t rows = pe_tensor_elements(c->tensor[0]) / count;
    for (uint32_t i = 0; i < rows; i++)
        rfft_row((const real *)c->data[0] + i * count, count, m, c->data[1], c->scratch,
                 (pe_complex *)c->data[2] + i * (m + 1));
}

static pe_status check_irfft(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    *text = pe_fft_fault(c, REAL_DTYPE, c->tensor[0]);
    if (*text)
        return PE_ERR_SHAPE;
    uint32_t length = pe_last_dim(c->tensor[0]) - 2;
    *text = "signal_irfft: y is not two elements shorter than x";
    if (pe_last_dim(c->tensor[2]) != length)
        return PE_ERR_SHAPE;
    *scratch_bytes = length * (uint32_t)sizeof(real);
    return PE_OK;
}

static void run_irfft(const pe_call *c)
{
    uint32_t m = pe_last_dim(c->tensor[2]) / 2, rows = pe_tensor_elements(c->tensor[2]) / (2 * m);
    for (uint32_t i = 0; i < rows; i++)
        irfft_row((const pe_complex *)c->data[0] + i * (m + 1), m, c->data[1], c->scratch,
                  (pe_complex *)c->data[2] + i * m);
}
