#include <immintrin.h>

#include "kernels/conv_shape.h"

/* conv2d_s8 with one group and no dilation along a row, linear_s8, and depthwise_s8 with multiplier 1.
 *
 * vpmaddubsw saturates, so activations and weights are int16: rows of x are staged so in bands, with padding as values, and
 * vpmaddwd multiplies pairs. A convolution takes tiles of 4 pixels by 16 channels, pairs being neighbours in a row of a
 * window; depthwise takes 16 channels of a pixel, pairs being two taps. Requantization is done step by step, so every
 * multiplier, shift and sum has its specified result. */

#define BAND_BYTES 32768
#define WORK_BYTES (16 << 20)
#define CHANNELS 16   /* of a block: two vectors of sums */
#define MAX_PAIRS 128 /* of taps of depthwise */
#define SLACK 64      /* bytes behind the staged rows: read into sums that meet zero weights or are not stored */

typedef struct constants {
    int32_t bias[CHANNELS], multiplier[CHANNELS], left[CHANNELS], right[CHANNELS];
} constants;

typedef struct layer {
    size_t x, y; /* in the arena */
    pe_conv_shape shape;
    int32_t band;               /* rows of y */
    int32_t columns;            /* of a product, that are staged at once; 0: no product */
    size_t row;                 /* staged elements of a row */
    uint32_t blocks, steps;     /* pairs in a row of a window; depthwise: pairs of taps */
    size_t weights, constants;  /* offsets from the start of the layer */
    uint32_t tap[MAX_PAIRS][2]; /* depthwise: staged elements from the window to both taps */
} layer;

static int32_t staged_rows(const layer *l, int32_t n)
{
    return (n - 1) * l->shape.h.stride + (l->shape.h.taps - 1) * l->shape.h.dilation + 1;
}

static int16_t *fill(int16_t *to, size_t n, int16_t value)
{
    for (size_t i = 0; i < n; i++)
        to[i] = value;
    return to + n;
}

/* Stages n rows from row `first` of the image on, which may be before it or behind. */
static void stage(const layer *l, const int8_t *image, int32_t first, int32_t n, int16_t *to)
{
    const pe_conv_shape *s = &l->shape;
    const int16_t zero = (int16_t)s->x_zero_point;
    for (; n; n--, first++) {
        if (first < 0 || first >= s->h.in) {
            to = fill(to, l->row, zero);
            continue;
        }
        const int8_t *from = image + (size_t)first * (size_t)s->w.in * s->c;
        const size_t body = (size_t)s->body * s->c;
        to = fill(to, (size_t)s->w.pad * s->c, zero);
        for (size_t i = 0; i < body; i++)
            to[i] = from[i];
        to = fill(to + body, (size_t)s->behind * s->c, zero);
    }
}

/* 8 sums to results within the clamp. */
static inline __m256i requantize8(__m256i sum, const constants *q, int half, const pe_output_s8 *out)
{
    const __m256i one = _mm256_set1_epi32(1), rounding = _mm256_set1_epi64x(1 << 30);
    const __m256i m = _mm256_loadu_si256((const void *)(q->multiplier + 8 * half));
    const __m256i right = _mm256_loadu_si256((const void *)(q->right + 8 * half));
    const __m256i x = _mm256_sllv_epi32(sum, _mm256_loadu_si256((const void *)(q->left + 8 * half)));
    __m256i even = _mm256_mul_epi32(x, m), odd = _mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(m, 32));
    even = _mm256_srli_epi64(_mm256_add_epi64(even, rounding), 31);
    odd = _mm256_slli_epi64(_mm256_add_epi64(odd, rounding), 1);
    const __m256i h = _mm256_blend_epi32(even, odd, 0xAA);
    const __m256i mask = _mm256_sub_epi32(_mm256_sllv_epi32(one, right), one);
    const __m256i limit = _mm256_add_epi32(_mm256_srli_epi32(mask, 1), _mm256_srli_epi32(h, 31));
    const __m256i up = _mm256_cmpgt_epi32(_mm256_and_si256(h, mask), limit);
    const __m256i y = _mm256_sub_epi32(_mm256_srav_epi32(h, right), up), z = _mm256_set1_epi32(out->zero_point);
    const __m256i low = _mm256_set1_epi32(out->min - out->zero_point),
                  high = _mm256_set1_epi32(out->max - out->zero_point);
    return _mm256_add_epi32(_mm256_min_epi32(_mm256_max_epi32(y, low), high), z);
}

/* The first n of 16 results; in each 128-bit half the first 4 of a half of low, then of high. */
static inline void store16(__m256i low, __m256i high, int8_t *y, uint32_t n)
{
    const __m256i words = _mm256_packs_epi32(low, high);
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    if (n >= CHANNELS) {
        _mm_storeu_si128((void *)y, bytes);
        return;
    }
    int8_t part[CHANNELS];
    _mm_storeu_si128((void *)part, bytes);
    for (uint32_t i = 0; i < n; i++)
        y[i] = part[i];
}

/* The channel of a block in lane i of the vector low (0) or high (1): what store16 puts in order. */
static uint32_t channel_of(uint32_t vector, uint32_t i)
{
    return 8 * (i / 4) + 4 * vector + i % 4;
}

static inline __m256i pair(const int16_t *p)
{
    int32_t x;
    __builtin_memcpy(&x, p, 4);
    return _mm256_set1_epi32(x);
}

/* MR pixels by 16 channels of a convolution. w: [kh][steps][2][8 channels][2]. */
static inline __attribute__((always_inline)) void tile(const layer *l, const int16_t *staged, const int16_t *w,
                                                       const constants *q, int8_t *y, uint32_t channels, const int MR)
{
    const pe_conv_shape *s = &l->shape;
    const size_t step = (size_t)s->w.stride * s->c;
    __m256i low[4], high[4];
    for (int p = 0; p < MR; p++) {
        low[p] = _mm256_loadu_si256((const void *)q->bias);
        high[p] = _mm256_loadu_si256((const void *)(q->bias + 8));
    }
    for (int32_t i = 0; i < s->h.taps; i++, staged += (size_t)s->h.dilation * l->row)
        for (uint32_t k = 0; k < l->steps; k++, w += 32) {
            const __m256i w0 = _mm256_load_si256((const void *)w), w1 = _mm256_load_si256((const void *)(w + 16));
            for (int p = 0; p < MR; p++) {
                const __m256i x = pair(staged + 2 * k + (size_t)p * step);
                low[p] = _mm256_add_epi32(low[p], _mm256_madd_epi16(x, w0));
                high[p] = _mm256_add_epi32(high[p], _mm256_madd_epi16(x, w1));
            }
        }
    for (int p = 0; p < MR; p++, y += s->c_out)
        store16(requantize8(low[p], q, 0, &s->out), requantize8(high[p], q, 1, &s->out), y, channels);
}

static void tile_4(const layer *l, const int16_t *staged, const int16_t *w, const constants *q, int8_t *y,
                   uint32_t channels)
{
    tile(l, staged, w, q, y, channels, 4);
}

static void tile_1(const layer *l, const int16_t *staged, const int16_t *w, const constants *q, int8_t *y,
                   uint32_t channels)
{
    tile(l, staged, w, q, y, channels, 1);
}

/* n pixels of a row of y, of one block. */
static void conv_row(const layer *l, const int16_t *staged, const int16_t *w, const constants *q, int32_t n, int8_t *y,
                     uint32_t channels)
{
    const pe_conv_shape *s = &l->shape;
    const size_t step = (size_t)s->w.stride * s->c;
    for (; n >= 4; n -= 4, staged += 4 * step, y += 4 * s->c_out)
        tile_4(l, staged, w, q, y, channels);
    for (; n; n--, staged += step, y += s->c_out)
        tile_1(l, staged, w, q, y, channels);
}

/* The same for depthwise. w: [pairs of taps][2][8 channels][2]. */
static void depthwise_row(const layer *l, const int16_t *staged, const int16_t *w, const constants *q, int32_t n,
                          int8_t *y, uint32_t channels)
{
    const pe_conv_shape *s = &l->shape;
    for (; n; n--, staged += (size_t)s->w.stride * s->c, y += s->c) {
        __m256i low = _mm256_loadu_si256((const void *)q->bias), high = _mm256_loadu_si256((const void *)(q->bias + 8));
        const int16_t *at = w;
        for (uint32_t t = 0; t < l->steps; t++, at += 32) {
            const __m256i a = _mm256_loadu_si256((const void *)(staged + l->tap[t][0]));
            const __m256i b = _mm256_loadu_si256((const void *)(staged + l->tap[t][1]));
            const __m256i w0 = _mm256_load_si256((const void *)at), w1 = _mm256_load_si256((const void *)(at + 16));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w0));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w1));
        }
        store16(requantize8(low, q, 0, &s->out), requantize8(high, q, 1, &s->out), y, channels);
    }
}

static size_t block_weights(const layer *l, bool depthwise)
{
    return (depthwise ? 1 : (size_t)l->shape.h.taps) * l->steps * 32;
}

typedef void row_fn(const layer *l, const int16_t *staged, const int16_t *w, const constants *q, int32_t n, int8_t *y,
                    uint32_t channels);

/* Blocks first .. end - 1 of n columns of some rows of y. staged, y: of the first pixel. */
static void run_blocks(const layer *l, row_fn *row, uint32_t first, uint32_t end, int32_t rows, int32_t n,
                       const int16_t *staged, int8_t *y)
{
    const pe_conv_shape *s = &l->shape;
    const bool depthwise = row == depthwise_row;
    const size_t step = (size_t)s->h.stride * l->row, y_row = (size_t)s->w.out * s->c_out;
    const int16_t *weights = (const int16_t *)(const void *)((const uint8_t *)l + l->weights);
    const constants *q = (const constants *)(const void *)((const uint8_t *)l + l->constants);
    for (uint32_t b = first; b < end; b++) {
        const uint32_t channel = b * CHANNELS;
        const int16_t *from = staged + (depthwise ? channel : 0);
        int8_t *to = y + channel;
        for (int32_t r = 0; r < rows; r++, from += step, to += y_row)
            row(l, from, weights + b * block_weights(l, depthwise), q + b, n, to, s->c_out - channel);
    }
}

/* Columns of a product, a band of them at a time. */
static void run_columns(const layer *l, uint32_t first, uint32_t last, int32_t col, int32_t end, const int8_t *x,
                        int8_t *y, int16_t *work)
{
    const size_t c = l->shape.c;
    for (int32_t n; col < end; col += n) {
        n = end - col < l->columns ? end - col : l->columns;
        const int8_t *from = x + (size_t)col * c;
        for (size_t i = 0; i < (size_t)n * c; i++)
            work[i] = from[i];
        run_blocks(l, conv_row, first, last, 1, n, work, y + (size_t)col * l->shape.c_out);
    }
}

/* Rows row .. end - 1 of all images. */
static void run_rows(const layer *l, row_fn *kernel, uint32_t first, uint32_t last, int32_t row, int32_t end,
                     const int8_t *x, int8_t *y, int16_t *work)
{
    const pe_conv_shape *s = &l->shape;
    const size_t y_row = (size_t)s->w.out * s->c_out;
    while (row < end) {
        const int32_t n = row / s->h.out, r = row % s->h.out;
        int32_t rows = s->h.out - r < end - row ? s->h.out - r : end - row;
        rows = rows < l->band ? rows : l->band;
        stage(l, x + (size_t)n * (size_t)s->h.in * (size_t)s->w.in * s->c, r * s->h.stride - s->h.pad,
              staged_rows(l, rows), work);
        run_blocks(l, kernel, first, last, rows, s->w.out, work, y + (size_t)row * y_row);
        row += rows;
    }
}

static void run_part(const layer *l, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts, row_fn *row)
{
    const pe_conv_shape *s = &l->shape;
    const int8_t *x = (const int8_t *)arena + l->x;
    int8_t *y = (int8_t *)arena + l->y;
    int16_t *staged = (int16_t *)(void *)work;
    uint32_t first = 0, last = l->blocks;
    int32_t piece = 0, end = l->columns ? s->w.out : s->images * s->h.out;
    if ((uint32_t)end >= parts || l->blocks == 1) {
        piece = pe_share(end, part, parts);
        end = pe_share(end, part + 1, parts);
    } else { /* too few, but many channels */
        first = (uint32_t)pe_share((int32_t)l->blocks, part, parts);
        last = (uint32_t)pe_share((int32_t)l->blocks, part + 1, parts);
    }
    if (first == last)
        return;
    if (l->columns)
        run_columns(l, first, last, piece, end, x, y, staged);
    else
        run_rows(l, row, first, last, piece, end, x, y, staged);
}

static void part_conv(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    run_part(packed, arena, work, part, parts, conv_row);
}

static void part_depthwise(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    run_part(packed, arena, work, part, parts, depthwise_row);
}

static void run_conv(const void *packed, uint8_t *arena, uint8_t *work)
{
    part_conv(packed, arena, work, 0, 1);
}

static void run_depthwise(const void *packed, uint8_t *arena, uint8_t *work)
{
    part_depthwise(packed, arena, work, 0, 1);
}

static size_t align64(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* Everything but weights and constants. */
static bool describe(const pe_call *c, layer *l, pe_layer_bytes *bytes, bool depthwise)
{
    *l = (layer){.x = c->tensor[0]->offset, .y = c->tensor[3]->offset};
    const pe_conv_shape *s = &l->shape;
    if (!pe_conv_shape_of(c, &l->shape))
        return false;
    const uint64_t taps = (uint64_t)s->h.taps * (uint64_t)s->w.taps;
    if (depthwise && (s->c != s->c_out || taps > 2 * MAX_PAIRS))
        return false;
    l->row = (size_t)(s->w.pad + s->body + s->behind) * s->c;
    l->band = s->h.out;
    while (l->band > 1 && (size_t)staged_rows(l, l->band) * l->row * sizeof(int16_t) > BAND_BYTES)
        l->band = (l->band + 1) / 2;
    l->blocks = (s->c_out + CHANNELS - 1) / CHANNELS;
    l->steps = depthwise ? (uint32_t)(taps + 1) / 2 : ((uint32_t)s->w.taps * s->c + 1) / 2;
    l->constants = align64(sizeof *l);
    l->weights = l->constants + l->blocks * sizeof(constants);
    bytes->packed = l->weights + l->blocks * block_weights(l, depthwise) * sizeof(int16_t);
    bytes->work = (size_t)staged_rows(l, l->band) * l->row * sizeof(int16_t) + SLACK;
    if (!depthwise && s->images * s->h.out == 1 && taps == 1 && s->h.pad == 0 && s->w.stride == 1 && s->w.pad == 0 &&
        s->w.in == s->w.out) { /* a product: one row of pixels */
        const size_t pixel = s->c * sizeof(int16_t), most = BAND_BYTES / pixel;
        l->columns = most < 4 ? 4 : most < (size_t)s->w.out ? (int32_t)most : s->w.out;
        bytes->work = (size_t)l->columns * pixel + SLACK;
    }
    /* Each product of depthwise is a part of a vector, and x is staged: of more weight than in convolutions. */
    const uint64_t pixels = (uint64_t)s->images * (uint64_t)s->h.out * (uint64_t)s->w.out;
    const uint64_t macs = pixels * c->tensor[1]->bytes * (depthwise ? 4 : 1);
    bytes->part = macs < PE_MACS_TO_SPLIT ? NULL : depthwise ? part_depthwise : part_conv;
    return bytes->work <= WORK_BYTES;
}

/* Constants of all channels, biases as in the plan: x is not shifted. */
static void pack_constants(const layer *l, const pe_channel *q, constants *to)
{
    for (uint32_t i = 0; i < l->shape.c_out; i++) {
        constants *b = &to[i / CHANNELS];
        const uint32_t channel = i % CHANNELS, vector = channel / 4 % 2,
                       lane = 8 * vector + 4 * (channel / 8) + channel % 4;
        const uint32_t shift = (uint32_t)q[i].b;
        b->bias[lane] = q[i].bias;
        b->multiplier[lane] = q[i].a & INT32_MAX;
        b->left[lane] = q[i].b < 0 ? (int32_t)((0u - shift) & 31) : 0;
        b->right[lane] = q[i].b > 0 ? (int32_t)(shift & 31) : 0;
    }
}

static void pack(const pe_call *c, void *packed, bool depthwise)
{
    layer *l = packed;
    pe_layer_bytes bytes = {0};
    describe(c, l, &bytes, depthwise);
    __builtin_memset((uint8_t *)packed + sizeof *l, 0, bytes.packed - sizeof *l);
    const pe_conv_shape *s = &l->shape;
    const int8_t *w = c->data[1];
    int16_t *to = (int16_t *)(void *)((uint8_t *)packed + l->weights);
    const size_t kh = (size_t)s->h.taps, kw = (size_t)s->w.taps, row = kw * s->c,
                 per_block = block_weights(l, depthwise);
    pack_constants(l, c->data[2], (constants *)(void *)((uint8_t *)packed + l->constants));
    for (uint32_t b = 0; b < l->blocks; b++)
        for (uint32_t v = 0; v < 2; v++)
            for (uint32_t i = 0; i < 8; i++) {
                const size_t channel = b * CHANNELS + channel_of(v, i);
                if (channel >= s->c_out)
                    continue;
                int16_t *lane = to + b * per_block + 16 * v + 2 * i; /* [step][2 vectors][8 lanes][2] */
                if (depthwise)
                    for (size_t t = 0; t < kh * kw; t++)
                        lane[t / 2 * 32 + t % 2] = w[t * s->c + channel];
                else
                    for (size_t t = 0; t < kh; t++)
                        for (size_t k = 0; k < row; k++)
                            lane[(t * l->steps + k / 2) * 32 + k % 2] = w[(channel * kh + t) * row + k];
            }
    for (size_t t = 0; depthwise && t < kh * kw; t++)
        l->tap[t / 2][t % 2] = (uint32_t)(t / kw * (size_t)s->h.dilation * l->row + t % kw * s->c);
}

static bool takes_conv(const pe_call *c, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, &l, bytes, false);
}

static bool takes_depthwise(const pe_call *c, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, &l, bytes, true);
}

static void pack_conv(const pe_call *c, void *packed)
{
    pack(c, packed, false);
}

static void pack_depthwise(const pe_call *c, void *packed)
{
    pack(c, packed, true);
}

const pe_layer pe_layer_conv2d_s8__avx2 = {PE_OP_CONV2D_S8, "conv2d_s8__avx2", takes_conv, pack_conv, run_conv};
const pe_layer pe_layer_linear_s8__avx2 = {PE_OP_LINEAR_S8, "linear_s8__avx2", takes_conv, pack_conv, run_conv};
const pe_layer pe_layer_depthwise_s8__avx2 = {PE_OP_DEPTHWISE_S8, "depthwise_s8__avx2", takes_depthwise, pack_depthwise,
                                              run_depthwise};
