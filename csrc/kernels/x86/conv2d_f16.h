#include "kernels/layers.h"
#include "kernels/nan.h"
#include "kernels/x86/conv2d_f16_tiles.h"
#include "kernels/x86/pack_f32.h"
#include "ops/window.h"

/* conv2d_f16, and linear_f16 as a convolution of one pixel a row: a product of windows by output channels.
 *
 * Weights lie as float16 in the order in which tiles read them, [k][NR * PE_LANES]: constants are packed so once, those that
 * learn before each run. Windows are copied to a panel of floats, some pixels at a time, unless they are pixels of x and
 * floats. For many pixels the weights of a block are widened once a panel, by its first tile; for few each is widened as it
 * is read, and all there is to gain is half the bytes. */

#define PANEL_BYTES (512 << 10) /* of the second-level cache */
#define PANEL_LEAST 168      /* pixels for which a block's weights are widened: for few it takes too much of the time */
#define WIDEN_MOST 4096      /* taps of a block whose weights are widened: 512 KiB with AVX-512 */
#define WORK_MOST (64 << 20) /* bytes of one panel's pixel and one block: what no network asks for */

/* Channels that tiles do together. */
typedef struct block {
    uint32_t first, channels, nr;
    size_t weights, bias; /* bytes from the first block's: float16 [k][nr][PE_LANES], float [nr][PE_LANES] */
} block;

typedef struct layer {
    pe_axis h, w;
    size_t x, y;                           /* in the arena, bytes */
    size_t pixels, channels_in, depth;     /* of y, of x, of a group of x */
    size_t k, row, panel_rows;             /* taps; floats of a panel from pixel to pixel; pixels of a panel */
    uint32_t channels, groups, blocks, nr; /* of y; ..; of a group; vectors of a block */
    bool x_is_f16, y_is_f16, in_place, widened, fast16, by_pixels;
    pe_clip clip;
    pe_place weights, bias;
    bool has_bias, at_run; /* at_run: weights or biases learn */
    size_t blocks_at;      /* bytes from the start of the layer, at_run of the work memory, to what blocks have */
    block block[];
} layer;

static size_t align64(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* Vectors of a block that has this many channels ahead of it. */
static uint32_t vectors_of(const layer *l, uint32_t channels)
{
    const uint32_t n = (channels + PE_LANES - 1) / PE_LANES, rest = l->nr == NR_ROW ? (uint32_t)NR_FEW : l->nr;
    return n >= l->nr ? l->nr : n > rest ? rest : n;
}

static pe_layer_part_fn run_part;
static pe_layer_at_fn run_at;

#define PIXELS_TO_SPLIT 256 /* for which each part packs all weights that learn */

/* Everything but the blocks. False: not a case of these kernels. */
static bool describe(const pe_call *c, layer *l, pe_layer_bytes *bytes)
{
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    const pe_tensor *bias = c->inputs > 2 ? c->tensor[2] : NULL;
    if (!pe_in_arena(x))
        return false;
    *l = (layer){.weights = pe_place_of(c, 1),
                 .bias = pe_place_of(c, 2),
                 .has_bias = bias,
                 .at_run = pe_in_arena(w) || (bias && pe_in_arena(bias)),
                 .x = x->offset,
                 .y = y->offset,
                 .channels_in = (size_t)x->dims[x->rank - 1],
                 .channels = (uint32_t)w->dims[0],
                 .k = pe_tensor_elements(w) / (size_t)w->dims[0],
                 .x_is_f16 = x->dtype == PE_F16,
                 .y_is_f16 = y->dtype == PE_F16};
    int32_t rounding;
    if (x->rank == 2) {
        const pe_linear_params *p = c->params;
        l->h = l->w = (pe_axis){1, 1, 1, 1, 1, 0};
        l->groups = 1;
        l->clip = (pe_clip){p->f_min, p->f_max};
        rounding = p->rounding;
    } else {
        const pe_conv2d_params *p = c->params;
        l->h = pe_axis_h(p, x, y, w->dims[1]);
        l->w = pe_axis_w(p, x, y, w->dims[2]);
        l->groups = (uint32_t)p->groups;
        l->clip = (pe_clip){p->f_min, p->f_max};
        rounding = p->rounding;
    }
    if (!pe_clip_fits(&l->clip))
        return false;
    l->fast16 = rounding == PE_ROUND_FAST16;
    l->depth = l->channels_in / l->groups;
    l->pixels = pe_tensor_elements(y) / l->channels;
    const size_t x_pixels = pe_tensor_elements(x) / l->channels_in;
    const bool windows_are_pixels = l->h.taps == 1 && l->w.taps == 1 && l->pixels == x_pixels && l->groups == 1 &&
                                    l->h.pad == 0 && l->w.pad == 0 && l->h.stride == 1 && l->w.stride == 1;
    l->widened = !l->fast16 && l->pixels >= 2 * MR_MOST && l->k <= WIDEN_MOST;
    l->in_place = windows_are_pixels && !l->x_is_f16 && !l->fast16;
    l->nr = l->fast16 ? (l->pixels < 4 ? NR_FAST16_FEW : 1) : l->widened ? NR_MANY : l->pixels == 1 ? NR_ROW : NR_FEW;
    l->row =
        l->in_place ? l->k : (l->k + 15) / 16 * 16 + 16; /* not a power of two, which would fall on few cache lines */
    size_t rows = PANEL_BYTES / (l->row * sizeof(float));
    rows = l->widened && rows < PANEL_LEAST ? PANEL_LEAST : rows;
    rows = (l->pixels - 1) / (rows ? rows : 1) + 1; /* panels */
    rows = ((l->pixels - 1) / rows / MR_MOST + 1) * MR_MOST;
    l->panel_rows = rows < l->pixels ? rows : l->pixels;
    bytes->work = l->in_place ? 0 : align64(l->panel_rows * l->row * sizeof(float));
    if (l->widened)
        bytes->work += l->k * NR_MANY * PE_LANES * sizeof(float);
    size_t vectors = 0;
    const uint32_t group = l->channels / l->groups;
    for (uint32_t left = group, n; left; left -= n, l->blocks++) {
        const uint32_t nr = vectors_of(l, left);
        n = left < nr * PE_LANES ? left : nr * PE_LANES;
        vectors += nr;
    }
    vectors *= l->groups;
    const size_t blocks = vectors * PE_LANES * (sizeof(float) + l->k * sizeof(uint16_t));
    bytes->packed = l->blocks_at = align64(sizeof *l + (size_t)l->blocks * l->groups * sizeof(block));
    if (l->at_run) {
        l->blocks_at = align64(bytes->work);
        bytes->work = l->blocks_at + blocks;
    } else {
        bytes->packed += blocks;
    }
    if (bytes->work > WORK_MOST)
        return false;
    l->by_pixels = l->pixels >= (l->at_run ? PIXELS_TO_SPLIT : 2 * MR_MOST);
    bytes->part = (uint64_t)l->pixels * pe_tensor_elements(w) >= PE_MACS_TO_SPLIT ? run_part : NULL;
    bytes->at = l->at_run ? NULL : run_at;
    bytes->canonicalize = pe_canonicalize_floats;
    return true;
}

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, &l, bytes);
}

/* Rows of eight in, columns out: three times a row is mixed with that four rows on. */
static void turn_eights(__m128i r[8])
{
    PE_FOR (turn, 3) {
        __m128i t[8];
        PE_FOR (i, 4) {
            t[2 * i] = _mm_unpacklo_epi16(r[i], r[i + 4]);
            t[2 * i + 1] = _mm_unpackhi_epi16(r[i], r[i + 4]);
        }
        PE_FOR (i, 8)
            r[i] = t[i];
    }
}

/* Bias and weights of blocks first .. end - 1, to where they belong from `to` on. arena: if they learn. */
static void pack_blocks(const layer *l, size_t first, size_t end, const uint8_t *arena, uint8_t *to)
{
    const uint16_t *w = (const uint16_t *)(const void *)pe_place_at(&l->weights, arena);
    const float *bias = l->has_bias ? pe_place_at(&l->bias, arena) : NULL;
    for (const block *b = l->block + first; b != l->block + end; b++) {
        const size_t width = (size_t)b->nr * PE_LANES;
        float *to_bias = (float *)(to + b->bias);
        uint16_t *at = (uint16_t *)(to + b->weights);
        for (size_t n = 0; n < width; n++)
            to_bias[n] = n < b->channels && bias ? bias[b->first + n] : 0;
        for (size_t n = 0; n < width; n += 8) { /* channels beyond the block's are any: they are not stored */
            const uint16_t *rows[8];
            for (size_t i = 0; i < 8; i++)
                rows[i] = w + (b->first + (n + i < b->channels ? n + i : 0)) * l->k;
            size_t k = 0;
            for (; k + 8 <= l->k; k += 8) {
                __m128i r[8];
                PE_FOR (i, 8)
                    r[i] = _mm_loadu_si128((const __m128i *)(rows[i] + k));
                turn_eights(r);
                PE_FOR (i, 8)
                    _mm_storeu_si128((__m128i *)(at + (k + (size_t)i) * width + n), r[i]);
            }
            for (; k < l->k; k++)
                for (size_t i = 0; i < 8; i++)
                    at[k * width + n + i] = rows[i][k];
        }
    }
}

static void pack(const pe_call *c, void *packed)
{
    layer *l = packed;
    pe_layer_bytes bytes = {0};
    describe(c, l, &bytes);
    const uint32_t group = l->channels / l->groups, blocks = l->blocks * l->groups;
    size_t at = 0;
    uint32_t first = 0, left = group;
    for (block *b = l->block; b != l->block + blocks; b++) {
        *b = (block){.first = first, .nr = vectors_of(l, left)};
        const size_t width = (size_t)b->nr * PE_LANES;
        b->channels = left < width ? left : (uint32_t)width;
        b->bias = at;
        b->weights = at + width * sizeof(float);
        at = b->weights + l->k * width * sizeof(uint16_t);
        first += b->channels;
        left -= b->channels;
        left = left ? left : group;
    }
    if (!l->at_run)
        pack_blocks(l, 0, blocks, NULL, (uint8_t *)packed + l->blocks_at);
}

static float *zeros(float *to, size_t n)
{
    __builtin_memset(to, 0, n * sizeof *to);
    return to + n;
}

/* The window of a pixel of y, floats in the order of the weights; x_first: the group's first channel. */
static void pack_pixel(const layer *l, const void *x, size_t pixel, size_t x_first, float *to)
{
    const size_t columns = (size_t)l->w.out, rows = (size_t)l->h.out;
    const size_t n = pixel / columns / rows;
    const int32_t oy = (int32_t)(pixel / columns % rows), ox = (int32_t)(pixel % columns);
    /* Columns that lie one after the other in x are copied together. */
    const int32_t span = l->groups == 1 && l->w.dilation == 1 ? l->w.taps : 1;
    int32_t iy = oy * l->h.stride - l->h.pad;
    for (int32_t i = 0; i < l->h.taps; i++, iy += l->h.dilation) {
        int32_t ix = ox * l->w.stride - l->w.pad;
        for (int32_t j = 0; j < l->w.taps; j += span, ix += l->w.dilation) {
            int32_t first = ix < 0 ? -ix : 0, end = l->w.in - ix;
            end = end < span ? end : span;
            if (iy < 0 || iy >= l->h.in || first >= end) {
                to = zeros(to, (size_t)span * l->depth);
                continue;
            }
            const size_t at = ((n * (size_t)l->h.in + (size_t)iy) * (size_t)l->w.in + (size_t)(ix + first));
            const size_t inside = (size_t)(end - first) * l->depth;
            to = zeros(to, (size_t)first * l->depth);
            pe_f16v_widen(to, x, at * l->channels_in + x_first, inside, l->x_is_f16);
            to = zeros(to + inside, (size_t)(span - end) * l->depth);
        }
    }
}

/* Pixels first .. first + n - 1, at most a panel, by some blocks of one group. */
static void run_panel(const layer *l, const block *from, const block *end, const uint8_t *blocks, const uint8_t *image,
                      float *work, size_t first, size_t n, size_t group, void *y)
{
    const float *x = (const float *)(const void *)image + first * l->k;
    float *widened = (float *)((uint8_t *)work + (l->in_place ? 0 : align64(l->panel_rows * l->row * sizeof(float))));
    if (!l->in_place) {
        for (size_t i = 0; i < n; i++) {
            float *to = work + i * l->row;
            pack_pixel(l, image, first + i, group * l->depth, to);
            for (size_t k = 0; l->fast16 && !l->x_is_f16 && k < l->k; k += PE_LANES) /* a row has the room */
                pe_f32v_store(to + k, pe_f16v_round(pe_f32v_load(to + k)));
        }
        x = work;
    }
    for (const block *b = from; b != end; b++) {
        const job j = {.weights = (const uint16_t *)(const void *)(blocks + b->weights),
                       .widened = widened,
                       .bias = (const float *)(const void *)(blocks + b->bias),
                       .k = l->k,
                       .x_row = l->row,
                       .channels = b->channels,
                       .y_row = l->channels,
                       .y_is_f16 = l->y_is_f16,
                       .clip = l->clip};
        const size_t at = first * l->channels + b->first;
        const bool widens = l->widened && n >= MR_MOST;
        size_t done = 0;
        if (widens) {
            (b->nr == 1 ? first_1 : first_2)(&j, x, MR_MOST, y, at);
            done = MR_MOST;
        }
        for (size_t count; done < n; done += count) { /* whole tiles, and a rest */
            count = n - done < MR_MOST ? n - done : (n - done) / MR_MOST * MR_MOST;
            tile_for(l->fast16, widens, count, b->nr)(&j, x + done * l->row, count, y, at + done * l->channels);
        }
    }
}

/* A part. arena: where weights that learn are. */
static void run_blocks(const layer *l, const uint8_t *arena, const uint8_t *x, uint8_t *y, uint8_t *work, uint32_t part,
                       uint32_t parts)
{
    const size_t share = l->by_pixels ? l->pixels : l->blocks, from = share * part / parts,
                 end = share * (part + 1) / parts;
    const size_t first = l->by_pixels ? from : 0, last = l->by_pixels ? end : l->pixels;
    const size_t block_first = l->by_pixels ? 0 : from, block_end = l->by_pixels ? l->blocks : end;
    const uint8_t *packed = (l->at_run ? work : (const uint8_t *)l) + l->blocks_at;
    if (from == end)
        return;
    for (size_t group = 0; l->at_run && group < l->groups; group++)
        pack_blocks(l, group * l->blocks + block_first, group * l->blocks + block_end, arena, work + l->blocks_at);
    for (size_t pixel = first; pixel < last; pixel += l->panel_rows) {
        const size_t n = last - pixel < l->panel_rows ? last - pixel : l->panel_rows;
        for (size_t group = 0; group < l->groups; group++) {
            const block *blocks = l->block + group * l->blocks;
            run_panel(l, blocks + block_first, blocks + block_end, packed, x, (float *)(void *)work, pixel, n, group,
                      y);
        }
    }
}

static void run_at(const void *packed, const uint8_t *x, uint8_t *y, uint8_t *work, uint32_t part, uint32_t parts)
{
    run_blocks(packed, NULL, x, y, work, part, parts);
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    const layer *l = packed;
    run_blocks(l, arena, arena + l->x, arena + l->y, work, part, parts);
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}

const pe_layer PE_LEVEL(pe_layer_conv2d_f16) = {PE_OP_CONV2D_F16, PE_LEVEL_NAME(conv2d_f16), takes, pack, run};
const pe_layer PE_LEVEL(pe_layer_linear_f16) = {PE_OP_LINEAR_F16, PE_LEVEL_NAME(linear_f16), takes, pack, run};
