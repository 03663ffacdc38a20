#include "kernels/avx512/stage.h"
#include "kernels/conv_shape.h"

/* depthwise_s8 with multiplier 1 and no dilation along a row.
 *
 * A vector holds 4 neighbouring taps of a row for 16 lanes, a lane being a channel (of a pixel): one product with 4
 * weights. One step gives 64 results, in 4 vectors:
 *
 *     WIDTH 64    1 pixel of 64 channels, more than 32 in blocks    taps from unpacks of 4 pixels
 *           32    2 pixels of up to 32 channels                     from one permute of 128 bytes, a vector
 *           16    4 pixels of up to 16                              from one permute of 64 bytes, a vector
 *            8    8 pixels of up to 8, two in a vector              the same
 *
 * Rows are staged with WIDTH bytes a pixel, or as they are for 64. With PAIR, stride 1 and up to 3 taps, the taps of
 * pixel x hold those of x + 1 one byte further, so that weights behind a zero byte use them again. Three rows of taps walk
 * down a column of y, so that a row is loaded once and not three times. */

#define BAND_BYTES 32768
#define WORK_BYTES (16 << 20)

typedef struct block {
    uint32_t first, channels, form, reserved;
    size_t weights,
        constants; /* offsets from the start of the layer: [kh][groups of 4 taps][vectors][pair][64], pe_rq16[vectors] */
} block;

typedef struct layer layer;

/* A block over rows of y: n of them from staged row 0 on, y at the first. */
typedef void rows_fn(const layer *l, const block *b, const uint8_t *staged, int32_t n, int8_t *y);

struct layer {
    size_t x, y; /* in the arena */
    size_t x_image, y_image;
    int32_t images, rows, cols; /* of y */
    int32_t band;               /* rows of y */
    int32_t kh, groups;         /* taps; groups of 4 taps in a row */
    int32_t stride_h, stride_w, dilation, pad;
    size_t row; /* staged bytes of a row */
    uint32_t channels, blocks, vectors;
    uint8_t pair;
    pe_stage stage;
    pe_output_s8 out;
    rows_fn *run[5];                                  /* of each form */
    uint8_t taps[2][64] __attribute__((aligned(64))); /* WIDTH < 64: permutes that gather taps */
    block block[];
};

/* Taps x .. x + 3 of one row for the vectors of a step. u: pixel x. */
PE_INLINE void load_taps(__m512i t[4], const layer *l, const __m512i order[2], const uint8_t *u, const int WIDTH,
                         const bool PAIR)
{
    if (WIDTH == 64) {
        const size_t c = l->channels;
        const __m512i p0 = _mm512_loadu_si512(u), p1 = _mm512_loadu_si512(u + c), p2 = _mm512_loadu_si512(u + 2 * c),
                      p3 = _mm512_loadu_si512(u + 3 * c);
        const __m512i low01 = _mm512_unpacklo_epi8(p0, p1), high01 = _mm512_unpackhi_epi8(p0, p1);
        const __m512i low23 = _mm512_unpacklo_epi8(p2, p3), high23 = _mm512_unpackhi_epi8(p2, p3);
        t[0] = _mm512_unpacklo_epi16(low01, low23);
        t[1] = _mm512_unpackhi_epi16(low01, low23);
        t[2] = _mm512_unpacklo_epi16(high01, high23);
        t[3] = _mm512_unpackhi_epi16(high01, high23);
        return;
    }
    const size_t step = (size_t)l->stride_w * (size_t)WIDTH;
    if (WIDTH == 32) {
        PE_FOR (p, 2) {
            if (p && PAIR)
                break;
            const __m512i a = _mm512_loadu_si512(u + (size_t)p * step);
            const __m512i b = _mm512_loadu_si512(u + (size_t)p * step + 64);
            t[2 * p] = _mm512_permutex2var_epi8(a, order[0], b);
            t[2 * p + 1] = _mm512_permutex2var_epi8(a, order[1], b);
        }
    } else {
        const int pixels = WIDTH == 16 ? 1 : 2; /* of a vector */
        PE_FOR (j, 4) {
            if (PAIR && (j & 1))
                continue;
            t[j] = _mm512_permutexvar_epi8(order[0], _mm512_loadu_si512(u + (size_t)(j * pixels) * step));
        }
    }
}

/* Adds a row of taps to the 4 (WIDTH 64 with PAIR: 8) sums of a step. w: [vectors][pair], in registers where they fit. */
PE_INLINE void add_taps(__m512i sum[8], const __m512i t[4], const int8_t *in_memory, const int offset,
                        const __m512i w[4], const int WIDTH, const bool PAIR)
{
    if (WIDTH == 64) {
        PE_FOR (j, 4) {
            sum[j] = pe_dot4_m(sum[j], t[j], in_memory, offset + 64 * (PAIR ? 2 * j : j));
            if (PAIR)
                sum[4 + j] = pe_dot4_m(sum[4 + j], t[j], in_memory, offset + 64 * (2 * j + 1));
        }
    } else if (WIDTH == 32) {
        PE_FOR (j, 2) {
            sum[j] = pe_dot4(sum[j], t[j], w[PAIR ? 2 * j : j]);
            sum[2 + j] = pe_dot4(sum[2 + j], t[PAIR ? j : 2 + j], w[PAIR ? 2 * j + 1 : j]);
        }
    } else {
        PE_FOR (j, 4)
            sum[j] = pe_dot4(sum[j], t[PAIR ? j & ~1 : j], w[PAIR && (j & 1)]);
    }
}

PE_INLINE void load_weights(__m512i w[4], const int8_t *from, const int WIDTH, const bool PAIR)
{
    PE_FOR (i, 4)
        w[i] =
            WIDTH < 64 && i < (WIDTH == 32 ? 2 : 1) * (PAIR ? 2 : 1) ? PE_LOAD(from + 64 * i) : _mm512_setzero_si512();
}

/* The vector of constants that sum j takes. */
PE_INLINE int constants_of(int j, const int WIDTH)
{
    return WIDTH == 64 ? j & 3 : WIDTH == 32 ? j & 1 : 0;
}

/* 4 sums to up to `pixels` pixels of y. */
PE_INLINE void store(__m512i sum[4], const layer *l, const block *b, const pe_rq16 *q, int8_t *y, size_t pixels,
                     const int WIDTH, const pe_rq_form form)
{
    const pe_clamp clamp = pe_clamp_of(&l->out);
    PE_FOR (j, 4)
        sum[j] = pe_rq16_apply(sum[j], &q[constants_of(j, WIDTH)], &l->out, form);
    __m512i v = pe_pack64(sum[0], sum[1], sum[2], sum[3], &clamp);
    if (WIDTH == 64) {
        _mm512_mask_storeu_epi8(y, pe_first64(b->channels), v);
        return;
    }
    if (WIDTH == 32)
        v = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), v);
    else
        v = _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
    if (l->channels != (uint32_t)WIDTH) {
        uint64_t live = 0;
        for (int p = 0; p < 64; p += WIDTH)
            live |= pe_first64(l->channels) << p;
        v = _mm512_maskz_compress_epi8(live, v);
    }
    const size_t most = 64 / WIDTH;
    _mm512_mask_storeu_epi8(y, pe_first64((pixels < most ? pixels : most) * l->channels), v);
}

PE_INLINE void store_step(__m512i sum[8], const layer *l, const block *b, const pe_rq16 *q, int8_t *y, size_t pixels,
                          const int WIDTH, const bool PAIR, const pe_rq_form form)
{
    store(sum, l, b, q, y, pixels, WIDTH, form);
    if (WIDTH == 64 && PAIR && pixels > 1)
        store(sum + 4, l, b, q, y + l->channels, pixels - 1, WIDTH, form);
}

PE_INLINE void start(__m512i sum[8], const pe_rq16 *q, const int WIDTH)
{
    PE_FOR (j, 8)
        sum[j] = PE_LOAD(q[constants_of(j, WIDTH)].bias);
}

/* 3 rows of taps, one group of them, SH rows of x from one row of y to the next. */
PE_INLINE void walk(const layer *l, const block *b, const uint8_t *staged, int32_t n, int8_t *y, const int WIDTH,
                    const int SH, const bool PAIR, const pe_rq_form form)
{
    const pe_rq16 *q = (const void *)((const uint8_t *)l + b->constants);
    const int8_t *w = (const int8_t *)l + b->weights;
    const int ROW = 64 * (WIDTH == 64 ? 4 : WIDTH == 32 ? 2 : 1) * (PAIR ? 2 : 1); /* bytes of weights */
    const size_t pixels = WIDTH == 64 ? (PAIR ? 2 : 1) : 64 / WIDTH, row = l->row;
    const size_t pixel = WIDTH == 64 ? l->channels : (size_t)WIDTH, y_row = (size_t)l->cols * l->channels;
    const __m512i order[2] = {PE_LOAD(l->taps[0]), PE_LOAD(l->taps[1])};
    __m512i w0[4], w1[4], w2[4];
    load_weights(w0, w, WIDTH, PAIR);
    load_weights(w1, w + ROW, WIDTH, PAIR);
    load_weights(w2, w + 2 * ROW, WIDTH, PAIR);
    for (size_t x = 0; x < (size_t)l->cols; x += pixels) {
        const uint8_t *u = staged + x * (size_t)l->stride_w * pixel + (WIDTH == 64 ? b->first : 0);
        int8_t *to = y + x * l->channels + b->first;
        __m512i t0[4], t1[4], t2[4], sum[8];
        load_taps(t0, l, order, u, WIDTH, PAIR);
        if (SH == 1)
            load_taps(t1, l, order, u + row, WIDTH, PAIR);
        u += SH == 1 ? 2 * row : row;
        for (int32_t r = 0; r < n; r++, to += y_row) {
            if (SH == 2) {
                load_taps(t1, l, order, u, WIDTH, PAIR);
                u += row;
            }
            load_taps(t2, l, order, u, WIDTH, PAIR);
            u += row;
            start(sum, q, WIDTH);
            add_taps(sum, t0, w, 0, w0, WIDTH, PAIR);
            add_taps(sum, t1, w, ROW, w1, WIDTH, PAIR);
            add_taps(sum, t2, w, 2 * ROW, w2, WIDTH, PAIR);
            store_step(sum, l, b, q, to, (size_t)l->cols - x, WIDTH, PAIR, form);
            PE_FOR (j, 4) {
                t0[j] = SH == 1 ? t1[j] : t2[j];
                t1[j] = t2[j];
            }
        }
    }
}

/* Any number of taps. */
PE_INLINE void each(const layer *l, const block *b, const uint8_t *staged, int32_t n, int8_t *y, const int WIDTH,
                    const pe_rq_form form)
{
    const pe_rq16 *q = (const void *)((const uint8_t *)l + b->constants);
    const size_t w_step = 64 * (WIDTH == 64 ? 4 : WIDTH == 32 ? 2 : 1), pixels = 64 / WIDTH;
    const size_t pixel = WIDTH == 64 ? l->channels : (size_t)WIDTH, y_row = (size_t)l->cols * l->channels;
    const __m512i order[2] = {PE_LOAD(l->taps[0]), PE_LOAD(l->taps[1])};
    for (int32_t r = 0; r < n; r++, y += y_row, staged += (size_t)l->stride_h * l->row)
        for (size_t x = 0; x < (size_t)l->cols; x += pixels) {
            const uint8_t *u = staged + x * (size_t)l->stride_w * pixel + (WIDTH == 64 ? b->first : 0);
            const int8_t *w = (const int8_t *)l + b->weights;
            __m512i t[4], sum[8], registers[4];
            start(sum, q, WIDTH);
            for (int32_t i = 0; i < l->kh; i++, u += (size_t)l->dilation * l->row)
                for (int32_t g = 0; g < l->groups; g++, w += w_step) {
                    load_taps(t, l, order, u + 4 * (size_t)g * pixel, WIDTH, false);
                    load_weights(registers, w, WIDTH, false);
                    add_taps(sum, t, w, 0, registers, WIDTH, false);
                }
            store_step(sum, l, b, q, y + x * l->channels + b->first, (size_t)l->cols - x, WIDTH, false, form);
        }
}

#define ROWS(name, form)                                                                                   \
    static void name##_##form(const layer *l, const block *b, const uint8_t *staged, int32_t n, int8_t *y) \
    {                                                                                                      \
        name(l, b, staged, n, y, PE_RQ_##form);                                                            \
    }
#define FORMS(name) ROWS(name, FLOAT) ROWS(name, FLOAT_SIGNED) ROWS(name, INT) ROWS(name, INT_SIGNED) ROWS(name, ANY)
#define WIDTHS(W)                                                                                                      \
    PE_INLINE void pair##W(const layer *l, const block *b, const uint8_t *s, int32_t n, int8_t *y, const pe_rq_form f) \
    {                                                                                                                  \
        walk(l, b, s, n, y, W, 1, W != 8, f);                                                                          \
    }                                                                                                                  \
    PE_INLINE void two##W(const layer *l, const block *b, const uint8_t *s, int32_t n, int8_t *y, const pe_rq_form f)  \
    {                                                                                                                  \
        walk(l, b, s, n, y, W, 2, false, f);                                                                           \
    }                                                                                                                  \
    PE_INLINE void any##W(const layer *l, const block *b, const uint8_t *s, int32_t n, int8_t *y, const pe_rq_form f)  \
    {                                                                                                                  \
        each(l, b, s, n, y, W, f);                                                                                     \
    }                                                                                                                  \
    FORMS(pair##W) FORMS(two##W) FORMS(any##W)
WIDTHS(64)
WIDTHS(32)
WIDTHS(16)
WIDTHS(8)

#define ROW(name) \
    {name##_FLOAT, name##_FLOAT_SIGNED, name##_INT, name##_INT_SIGNED, name##_ANY} /* in the order of pe_rq_form */
#define TABLE(name) {ROW(name##64), ROW(name##32), ROW(name##16), ROW(name##8)}
static rows_fn *const kernels[3][4][5] = {TABLE(pair), TABLE(two), TABLE(any)};

static size_t align64(size_t n)
{
    return (n + 63) / 64 * 64;
}

static int32_t staged_rows(const layer *l, int32_t n)
{
    return (n - 1) * l->stride_h + (l->kh - 1) * l->dilation + 1;
}

static pe_layer_part_fn run_part;

/* Everything but the blocks. False: not a case of these kernels. */
static bool describe(const pe_call *c, layer *l, pe_layer_bytes *bytes)
{
    pe_conv_shape shape;
    if (!pe_conv_shape_of(c, &shape) || shape.c != shape.c_out || shape.w.stride > 4)
        return false;
    const pe_axis h = shape.h, v = shape.w;
    const uint32_t channels = shape.c;
    const uint32_t width = channels > 32 ? 3 : channels > 16 ? 2 : channels > 8 ? 1 : 0; /* log2(WIDTH / 8) */
    const uint32_t pixel = width == 3 ? channels : 8u << width;
    *l = (layer){
        .x = c->tensor[0]->offset,
        .y = c->tensor[3]->offset,
        .x_image = (size_t)h.in * (size_t)v.in * channels,
        .y_image = (size_t)h.out * (size_t)v.out * channels,
        .images = shape.images,
        .rows = h.out,
        .cols = v.out,
        .kh = h.taps,
        .groups = (v.taps + 3) / 4,
        .stride_h = h.stride,
        .stride_w = v.stride,
        .dilation = h.dilation,
        .pad = h.pad,
        .channels = channels,
        .blocks = width == 3 ? (channels + 63) / 64 : 1,
        .vectors = width == 3   ? 4
                   : width == 2 ? 2
                                : 1,
        .out = shape.out,
        .stage = {.rows = h.in,
                  .step = 1,
                  .row_bytes = (size_t)v.in * channels,
                  .left = (size_t)v.pad * pixel,
                  .right = (size_t)shape.behind * pixel,
                  .body = (size_t)shape.body * channels,
                  .c = channels,
                  .c_staged = pixel,
                  .fill = (uint8_t)(shape.x_zero_point + 128)},
    };
    const bool walks = h.taps == 3 && h.dilation == 1 && v.taps <= 4;
    const bool pair = walks && h.stride == 1 && v.stride == 1 && v.taps <= 3;
    l->pair = pair && width != 0;
    __builtin_memcpy(l->run, kernels[pair ? 0 : walks && h.stride == 2 ? 1 : 2][3 - width], sizeof l->run);
    for (uint32_t i = 0; i < 64; i++) {
        const uint32_t lane = i / 4, tap = i % 4;
        if (width == 2)
            for (uint32_t j = 0; j < 2; j++)
                l->taps[j][i] = (uint8_t)(tap * 32 + 8 * (lane / 4) + 4 * j + lane % 4);
        else if (width == 1)
            l->taps[0][i] = (uint8_t)(tap * 16 + lane);
        else if (width == 0)
            l->taps[0][i] = (uint8_t)((tap + lane / 8 * (uint32_t)v.stride) * 8 + lane % 8);
    }
    l->row = pe_stage_stride(&l->stage);
    l->band = h.out;
    while (l->band > 1 && (size_t)staged_rows(l, l->band) * l->row > BAND_BYTES)
        l->band = (l->band + 1) / 2;
    bytes->work = (size_t)staged_rows(l, l->band) * l->row + PE_STAGE_SLACK + 4 * pixel; /* taps come by fours */
    const size_t taps = (size_t)l->kh * (size_t)l->groups * (l->pair ? 2 : 1);
    bytes->packed =
        align64(sizeof *l + l->blocks * sizeof(block)) + l->blocks * l->vectors * (taps * 64 + sizeof(pe_rq16));
    /* Each product is a part of a vector, and x is staged: of more weight than in convolutions. */
    const uint64_t macs = 4 * (uint64_t)shape.images * l->y_image * (uint64_t)h.taps * (uint64_t)v.taps;
    bytes->part = macs >= PE_MACS_TO_SPLIT ? run_part : NULL;
    return bytes->work <= WORK_BYTES;
}

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, &l, bytes);
}

/* The channel of a block in lane i of vector j. */
static uint32_t channel_of(const layer *l, uint32_t j, uint32_t i)
{
    return l->vectors == 1 ? i % l->stage.c_staged : 4 * l->vectors * (i / 4) + 4 * j + i % 4;
}

static void pack_block(const layer *l, block *b, const pe_call *c, int8_t *weights, pe_rq16 *to)
{
    const size_t kw = (size_t)c->tensor[1]->dims[1], kh = (size_t)l->kh, versions = l->pair ? 2 : 1;
    const int8_t *w = (const int8_t *)c->data[1] + b->first;
    pe_rq_channel channels[64];
    float scale[64], offset[64];
    for (uint32_t i = 0; i < b->channels; i++) {
        channels[i] = (pe_rq_channel){.q = ((const pe_channel *)c->data[2])[b->first + i]};
        pe_rq_add_weights(&channels[i], w + i, kh * kw, l->channels);
    }
    b->form = pe_rq_choose(channels, b->channels, &l->out, scale, offset);
    for (uint32_t j = 0; j < l->vectors; j++)
        for (uint32_t i = 0; i < 16; i++) {
            const uint32_t channel = channel_of(l, j, i);
            if (channel >= b->channels)
                continue; /* zeros: a result that is not stored */
            pe_rq_set(&to[j], i, b->form, &channels[channel], &l->out, scale[channel], offset[channel]);
            for (size_t t = 0; t < kh * kw; t++)
                for (size_t v = 0; v < versions; v++) {
                    const size_t group = t / kw * (size_t)l->groups + t % kw / 4;
                    weights[((group * l->vectors + j) * versions + v) * 64 + 4 * i + t % kw % 4 + v] =
                        w[t * l->channels + channel];
                }
        }
}

static void pack(const pe_call *c, void *packed)
{
    layer *l = packed;
    pe_layer_bytes bytes;
    describe(c, l, &bytes);
    __builtin_memset(l->block, 0, bytes.packed - sizeof *l);
    size_t at = align64(sizeof *l + l->blocks * sizeof(block));
    for (uint32_t i = 0; i < l->blocks; i++) {
        block *b = &l->block[i];
        b->first = 64 * i;
        b->channels = l->channels - b->first < 64 ? l->channels - b->first : 64;
        b->constants = at;
        at += l->vectors * sizeof(pe_rq16);
        b->weights = at;
        at += (size_t)l->kh * (size_t)l->groups * l->vectors * (l->pair ? 128 : 64);
        pack_block(l, b, c, (int8_t *)packed + b->weights, (void *)((uint8_t *)packed + b->constants));
    }
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    const layer *l = packed;
    const size_t y_row = (size_t)l->cols * l->channels;
    const int32_t total = l->images * l->rows, end = pe_share(total, part + 1, parts);
    for (int32_t row = pe_share(total, part, parts); row < end;) {
        const int32_t n = row / l->rows, r = row % l->rows;
        int32_t rows = l->rows - r < end - row ? l->rows - r : end - row;
        rows = rows < l->band ? rows : l->band;
        const uint8_t *x = arena + l->x + (size_t)n * l->x_image;
        int8_t *y = (int8_t *)arena + l->y + (size_t)n * l->y_image + (size_t)r * y_row;
        pe_stage_rows(&l->stage, x, r * l->stride_h - l->pad, staged_rows(l, rows), work);
        for (const block *b = l->block; b != l->block + l->blocks; b++)
            l->run[b->form](l, b, work + pe_stage_gap(&l->stage), rows, y);
        row += rows;
    }
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}

const pe_layer pe_layer_depthwise_s8__avx512 = {PE_OP_DEPTHWISE_S8, "depthwise_s8__avx512", takes, pack, run};
