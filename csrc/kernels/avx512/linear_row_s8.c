#include "kernels/avx512/requantize.h"
#include "kernels/layers.h"

/* linear_s8 with one row of x: every weight is used once, so that reading them is the time it takes.
 *
 * Blocks of up to 8 vectors of 16 channels; the narrow ones take several steps in k at once, so that 8 sums are on their
 * way in all. Where all channels have one multiplier and shift, as in TFLite's files, they share one set of constants, and
 * only biases are read. */

#define SUMS 8

typedef struct block {
    uint32_t first, channels;
    uint32_t vectors, form; /* vectors: 1, 2, 4, 8 */
    uint32_t steps;         /* of SUMS / vectors times 4 weights */
    uint32_t shared;        /* one set of constants for all vectors */
    size_t weights, biases; /* bytes from the start of the layer: int8 [k / 4][vectors][64], int32 [vectors][16] */
    size_t constants;       /* likewise: pe_rq16 [vectors] */
} block;

typedef struct layer {
    size_t x, y; /* in the arena */
    uint32_t k, channels, blocks;
    pe_output_s8 out;
    block block[];
} layer;

PE_INLINE void store(__m512i sum[SUMS], const layer *l, const block *b, int8_t *y, const int VECTORS,
                     const pe_rq_form form)
{
    const pe_rq16 *q = (const void *)((const uint8_t *)l + b->constants);
    const pe_clamp clamp = pe_clamp_of(&l->out);
    const __m512i zero = _mm512_setzero_si512();
    const size_t step = b->shared ? 0 : 1;
    PE_FOR (v, VECTORS)
        sum[v] = pe_rq16_apply(sum[v], q + (size_t)v * step, &l->out, form);
    PE_FOR (half, (VECTORS + 3) / 4) {
        const __m512i *s = sum + 4 * half;
        const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        const __m512i packed =
            pe_pack64(s[0], VECTORS > 1 ? s[1] : zero, VECTORS > 2 ? s[2] : zero, VECTORS > 2 ? s[3] : zero, &clamp);
        const uint32_t done = 64 * (uint32_t)half, rest = b->channels > done ? b->channels - done : 0;
        _mm512_mask_storeu_epi8(y + done, pe_first64(rest), _mm512_permutexvar_epi32(order, packed));
    }
}

PE_INLINE void rows(const layer *l, const block *b, const uint8_t *u, int8_t *y, const int VECTORS)
{
    const int8_t *w = (const int8_t *)l + b->weights;
    const int32_t *bias = (const void *)((const uint8_t *)l + b->biases);
    __m512i sum[SUMS];
    PE_FOR (i, SUMS)
        sum[i] = i < VECTORS ? PE_LOAD(bias + 16 * i) : _mm512_setzero_si512();
    for (uint32_t s = b->steps; s; s--, u += 4 * (SUMS / VECTORS), w += 64 * SUMS) {
        PE_FOR (i, SUMS)
            sum[i] = pe_dot4_m(sum[i], pe_broadcast4(u + 4 * (i / VECTORS)), w, 64 * i);
    }
    if (VECTORS <= 4)
        PE_FOR (i, 4)
            sum[i] = _mm512_add_epi32(sum[i], sum[4 + i]);
    if (VECTORS <= 2)
        PE_FOR (i, 2)
            sum[i] = _mm512_add_epi32(sum[i], sum[2 + i]);
    if (VECTORS == 1)
        sum[0] = _mm512_add_epi32(sum[0], sum[1]);
    switch (b->form) {
    case PE_RQ_FLOAT: store(sum, l, b, y, VECTORS, PE_RQ_FLOAT); break;
    case PE_RQ_FLOAT_SIGNED: store(sum, l, b, y, VECTORS, PE_RQ_FLOAT_SIGNED); break;
    case PE_RQ_INT: store(sum, l, b, y, VECTORS, PE_RQ_INT); break;
    case PE_RQ_INT_SIGNED: store(sum, l, b, y, VECTORS, PE_RQ_INT_SIGNED); break;
    default: store(sum, l, b, y, VECTORS, PE_RQ_ANY);
    }
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    const layer *l = packed;
    const uint8_t *x = arena + l->x;
    int8_t *y = (int8_t *)arena + l->y;
    const __m512i flip = _mm512_set1_epi8(-128);
    for (size_t i = 0; i < l->k; i += 64)
        _mm512_storeu_si512(work + i, _mm512_xor_si512(_mm512_maskz_loadu_epi8(pe_first64(l->k - i), x + i), flip));
    const block *const end = l->block + pe_share((int32_t)l->blocks, part + 1, parts);
    for (const block *b = l->block + pe_share((int32_t)l->blocks, part, parts); b != end; b++) {
        switch (b->vectors) {
        case 8: rows(l, b, work, y + b->first, 8); break;
        case 4: rows(l, b, work, y + b->first, 4); break;
        case 2: rows(l, b, work, y + b->first, 2); break;
        default: rows(l, b, work, y + b->first, 1);
        }
    }
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}

static size_t align64(size_t n)
{
    return (n + 63) / 64 * 64;
}

static uint32_t vectors_for(uint32_t channels)
{
    return channels > 64 ? 8 : channels > 32 ? 4 : channels > 16 ? 2 : 1;
}

static uint32_t steps_for(uint32_t k, uint32_t vectors)
{
    const uint32_t bytes = 4 * (SUMS / vectors);
    return (k + bytes - 1) / bytes;
}

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1];
    const uint32_t k = (uint32_t)w->dims[1], channels = (uint32_t)w->dims[0], blocks = (channels + 127) / 128;
    if (!pe_in_arena(x) || pe_in_arena(w) || pe_in_arena(c->tensor[2]) || x->dims[0] != 1 ||
        ((const pe_linear_params *)c->params)->rounding != PE_ROUND_TFLITE)
        return false;
    bytes->packed = align64(sizeof(layer) + blocks * sizeof(block));
    for (uint32_t first = 0; first < channels; first += 128) {
        const uint32_t vectors = vectors_for(channels - first);
        bytes->packed += 512 * (size_t)steps_for(k, vectors) + vectors * (64 + sizeof(pe_rq16));
    }
    bytes->work = align64(k) + 64;
    bytes->part = (uint64_t)k * channels >= PE_MACS_TO_SPLIT ? run_part : NULL;
    return true;
}

/* One set of constants for all channels of a block, if they have one multiplier and shift: their sums go over the union
 * of their ranges, without biases. */
static bool share(const pe_rq_channel *c, size_t n, pe_rq_channel *all)
{
    *all = (pe_rq_channel){.q = c[0].q, .low = INT64_MAX, .high = INT64_MIN};
    all->q.bias = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t start = (int32_t)((uint32_t)c[i].q.bias - 128u * (uint32_t)c[i].weight_sum);
        if (c[i].q.a != c[0].q.a || c[i].q.b != c[0].q.b)
            return false;
        all->low = c[i].low + start < all->low ? c[i].low + start : all->low;
        all->high = c[i].high + start > all->high ? c[i].high + start : all->high;
    }
    return true;
}

static void pack_block(const layer *l, block *b, const pe_call *c, uint8_t *base)
{
    const size_t k = l->k, per_step = SUMS / b->vectors;
    const int8_t *w = (const int8_t *)c->data[1] + b->first * k;
    int8_t *weights = (int8_t *)base + b->weights;
    int32_t *biases = (void *)(base + b->biases);
    pe_rq16 *q = (void *)(base + b->constants);
    pe_rq_channel channels[128] = {0}, all;
    float scale[128], offset[128];
    for (uint32_t i = 0; i < b->channels; i++) {
        channels[i] = (pe_rq_channel){.q = ((const pe_channel *)c->data[2])[b->first + i]};
        pe_rq_add_weights(&channels[i], w + i * k, k, 1);
    }
    b->shared = share(channels, b->channels, &all);
    if (b->shared) {
        b->form = pe_rq_choose(&all, 1, &l->out, scale, offset);
        for (uint32_t i = 0; i < 16; i++)
            pe_rq_set(&q[0], i, (pe_rq_form)b->form, &all, &l->out, scale[0], offset[0]);
    } else {
        b->form = pe_rq_choose(channels, b->channels, &l->out, scale, offset);
    }
    for (uint32_t i = 0; i < b->channels; i++) {
        if (!b->shared)
            pe_rq_set(&q[i / 16], i % 16, (pe_rq_form)b->form, &channels[i], &l->out, scale[i], offset[i]);
        biases[i] = pe_rq_start((pe_rq_form)b->form, &channels[i]);
        for (size_t j = 0; j < k; j++) {
            const size_t at = j / 4, step = at / per_step, part = at % per_step;
            weights[((step * per_step + part) * b->vectors + i / 16) * 64 + 4 * (i % 16) + j % 4] = w[i * k + j];
        }
    }
}

static void pack(const pe_call *c, void *packed)
{
    const pe_linear_params *p = c->params;
    layer *l = packed;
    pe_layer_bytes bytes = {0};
    takes(c, &bytes);
    __builtin_memset(packed, 0, bytes.packed);
    *l = (layer){
        .x = c->tensor[0]->offset,
        .y = c->tensor[3]->offset,
        .k = (uint32_t)c->tensor[1]->dims[1],
        .channels = (uint32_t)c->tensor[1]->dims[0],
        .blocks = ((uint32_t)c->tensor[1]->dims[0] + 127) / 128,
        .out = {p->y_zero_point, p->y_min, p->y_max},
    };
    size_t at = align64(sizeof *l + l->blocks * sizeof(block));
    for (uint32_t i = 0; i < l->blocks; i++) {
        block *b = &l->block[i];
        b->first = 128 * i;
        b->channels = l->channels - b->first < 128 ? l->channels - b->first : 128;
        b->vectors = vectors_for(b->channels);
        b->steps = steps_for(l->k, b->vectors);
        b->weights = at;
        at += 512 * (size_t)b->steps;
        b->biases = at;
        at += b->vectors * 64;
        b->constants = at;
        at += b->vectors * sizeof(pe_rq16);
        pack_block(l, b, c, packed);
    }
}

const pe_layer pe_layer_linear_row_s8__avx512 = {PE_OP_LINEAR_S8, "linear_row_s8__avx512", takes, pack, run};
