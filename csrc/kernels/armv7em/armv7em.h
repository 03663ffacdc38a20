/* The kernels of Cortex-M cores with the DSP extension and single-precision registers: what the C files of this folder and the
 * assembly share.
 *
 * Plans for such boards have weights in mixed rows (PE_LAYOUT_MIXED_ROWS, docs/plan.md): a halfword is 256 * w1 + w0, the weights
 * of two output channels, and a word is two of them, of the k that SXTB16 takes from a word of x. One product with a widened
 * pair of x sums both channels, one with SXTB16 of the word the first channel alone; their difference is 256 * the second. */
#ifndef PE_ARMV7EM_H
#define PE_ARMV7EM_H
#include "kernels/kernels.h"

enum { PE_ARMV7EM_CHUNK = 448 }; /* k after which a mixed sum is put aside; 511 products fit, whatever they are */

/* What tells the assembly how far to go in k. Its main loop has steps of 4 k, `unrolled` of them; it is entered so that the
 * first chunk ends with it. */
typedef struct pe_armv7em_loop {
    uint32_t first; /* bytes of w in the first chunk */
    uint32_t entry; /* bytes of code to leave out the first time */
    uint32_t rest;  /* k % 4, 4 * chunks after the first, and not 0 where sums are wanted */
} pe_armv7em_loop;

static inline pe_armv7em_loop pe_armv7em_loop_of(uint32_t k, uint32_t rows, uint32_t unrolled, uint32_t code_bytes,
                                                 bool sums)
{
    const uint32_t whole = k & ~3u, chunks = whole ? (whole - 1) / PE_ARMV7EM_CHUNK : 0;
    const uint32_t first = whole - chunks * PE_ARMV7EM_CHUNK, steps = first / 4 % unrolled;
    return (pe_armv7em_loop){
        .first = first * rows,
        .entry = steps || !first ? (unrolled - steps) * code_bytes : 0,
        .rest = k % 4 | chunks << 2 | (uint32_t)sums << 31,
    };
}

/* y[p * y_stride + c] = requantize(bias[c] + sum over k of x[p][k] * w[c][k]), p < 4, c < 2 * pairs.
 *
 * x: what pe_armv7em_widen4 makes of four windows. w: mixed rows by pairs, at any address. With sums, pairs is 1 and only
 * sums[8], of the second channel and then of the first, is written, with the biases; else all channels are fast. */
typedef struct pe_armv7em_pairs {
    const uint32_t *x;
    const pe_channel *q;
    int8_t *y;
    uint32_t y_stride, pairs;
    int32_t offset; /* 2 * zero point + 1 */
    pe_armv7em_loop loop;
    const int8_t *w;
    uint32_t *sums; /* or NULL */
} pe_armv7em_pairs;

void pe_armv7em_pairs_s8(const pe_armv7em_pairs *t);
#define PE_ARMV7EM_PAIRS_LOOP(k, sums) pe_armv7em_loop_of(k, 2, 8, 96, sums)

/* y[n] = requantize(bias[n] + sum over k of x[k] * w[n][k]), n from y to y_end, a multiple of 4.
 *
 * x: of pe_armv7em_widen1. w: mixed rows by fours, on a multiple of 4. It ends before the first four channels that are not all
 * fast, and returns where. With sums only sums[4], of the channels 1, 0, 3, 2, is written, with the biases. */
typedef struct pe_armv7em_linear {
    const uint32_t *x;
    const pe_channel *q;
    int8_t *y, *y_end;
    int32_t offset;
    pe_armv7em_loop loop;
    const int8_t *w;
    uint32_t *sums; /* or NULL */
} pe_armv7em_linear;

int8_t *pe_armv7em_linear_s8(const pe_armv7em_linear *t);
#define PE_ARMV7EM_LINEAR_LOOP(k, sums) pe_armv7em_loop_of(k, 4, 16, 56, sums)

/* Four rows of n int8 to pairs of int16: for each four elements the words (0, 2) of the four rows, then (1, 3); for each one
 * that is left the words (row 0, row 1), (row 2, row 3). Returns where the words end, 8 * n bytes on. */
uint32_t *pe_armv7em_widen4(const int8_t *const rows[4], uint32_t *to, size_t n);

/* The same of one row: words (0, 2), (1, 3); what is left as halfwords. 2 * n bytes. */
void pe_armv7em_widen1(const int8_t *x, uint32_t *to, size_t n);

/* Four channels of an image to four planes of int16: plane c is at to + c * plane bytes, and its element [r][i] is
 * x[r * x_row + i * x_col + c]. Bytes all; to, to_row and plane are even. cols, rows >= 1. */
typedef struct pe_armv7em_planes {
    const int8_t *x;
    uint32_t x_row, x_col;
    int16_t *to;
    uint32_t to_row, plane, cols, rows;
} pe_armv7em_planes;

void pe_armv7em_planes_s8(const pe_armv7em_planes *t);

/* Windows of 3 x 3 of one channel, whose plane x is, in stride 1 or 2 along a row.
 *
 * y[r * y_row + c * y_col] = requantize(bias + sum over i, j < 3 of x[r * step_row + i * tap_row + c * stride + j] * w[i][j])
 *
 * step_row and tap_row are bytes and multiples of 4, as is x. Reads rows of x as if cols were the next multiple of 4. */
typedef struct pe_armv7em_depthwise {
    const int16_t *x;
    uint32_t tap_row, step_row;
    int8_t *y;
    uint32_t y_row, cols, rows;
    int32_t bias;
    uint32_t taps[3][2];          /* (w0, w1), (w1, w2) of a row, the first in the low half */
    uint32_t twice, shift_less_1; /* of a fast channel */
    int32_t offset;               /* 2 * zero point + 1 */
    uint32_t y_col;
} pe_armv7em_depthwise;

void pe_armv7em_depthwise1_s8(const pe_armv7em_depthwise *t);
void pe_armv7em_depthwise2_s8(const pe_armv7em_depthwise *t);

/* y = requantize(((a << 19) + a_offset) + scaled((b << 20) + b_offset)), of y_end - y elements; scaled() rounds twice, by
 * b_twice / 2^32 and by 2^b_shift. y may be a or b. */
typedef struct pe_armv7em_add {
    const int8_t *a, *b;
    int8_t *y, *y_end;
    int32_t a_offset, b_offset;
    uint32_t b_twice;
    int32_t b_half; /* 2^(b_shift - 1) */
    uint32_t b_shift;
    uint32_t y_twice, y_shift_less_1;
    int32_t offset; /* 2 * zero point + 1 */
} pe_armv7em_add;

void pe_armv7em_add_s8(const pe_armv7em_add *t);

/* Element i of a row of k weights, in a block of mixed rows: pairs of rows by `pairs`. */
static inline int8_t pe_armv7em_weight(const int8_t *block, uint32_t pairs, uint32_t k, uint32_t row, uint32_t i)
{
    const uint32_t word = (i & ~3u) / 2 + (i & 1), half = i / 2 % 2, pair = row / 2;
    const uint32_t at = i < (k & ~3u) ? 2 * (word * pairs + pair) + half : i * pairs + pair;
    const int8_t low = block[2 * at];
    return row % 2 ? (int8_t)(block[2 * at + 1] + (low < 0)) : low;
}

static inline int8_t pe_armv7em_output(uint32_t sum, const pe_channel *q, const pe_output_s8 *out)
{
    if (pe_shift_is_short(q->b))
        return pe_requantize_s8_short(sum, (uint32_t)q->a << 1, (uint32_t)q->b - 1, 2 * out->zero_point + 1, out->min,
                                      out->max);
    return pe_requantize_s8(sum, q->a, q->b, out);
}

/* The assembly's clamp is -128 .. 127. */
static inline void pe_armv7em_clamp(int8_t *y, size_t n, const pe_output_s8 *out)
{
    if (out->min == -128 && out->max == 127)
        return;
    for (const int8_t *end = y + n; y != end; y++)
        *y = (int8_t)pe_clamp_s32(*y, out->min, out->max);
}

/* What REQUANTIZE of macros.S takes. */
static inline bool pe_armv7em_is_fast(const pe_channel *q)
{
    return (q->a & 1 << 30) && (uint32_t)q->b - 1 < 31;
}
#endif
