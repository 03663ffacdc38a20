#include "kernels/nan.h"
#include "kernels/x86/conv2d_f32_tiles.h"
#include "kernels/x86/image_f32.h"
#include "kernels/x86/pack_f32.h"

/* conv2d_f32, linear_f32 as a convolution of one row of pixels, and depthwise_f32 of one channel, which is one too. And
 * conv2d_dgrad_f32 without steps: dx is a convolution of dy, with the taps from the last to the first.
 *
 * Windows are read where they are, runs of floats in rows. Weights lie in the order in which tiles read them: [k][NR *
 * PE_LANES]. Constants are packed so once, weights that learn before each run. */

/* Channels that tiles do together: NR vectors, the last block of a group has fewer. */
typedef struct block {
    uint32_t first, channels, nr;
    uint32_t x_first;     /* channel of x: that of the group */
    size_t weights, bias; /* bytes from the start of what is packed: float [k][nr][PE_LANES], float [nr][PE_LANES] */
} block;

typedef enum split { SPLIT_ROWS, SPLIT_COLS, SPLIT_BLOCKS } split_by;

/* Where weights come from. That of tap t and channel d, k = t * depth + d, of output channel n of a group: at first + n *
 * step_n + t * step_tap + d * step_depth, floats; groups are step_group apart. */
typedef struct weights {
    size_t k, groups, depth; /* depth: channels of x that an output channel reads */
    size_t step_n, step_depth, step_group;
    ptrdiff_t first, step_tap;
    bool at_run; /* packed before each run: weights or bias are in the arena */
    pe_place w, bias;
    bool has_bias;
} weights;

typedef struct layer {
    pe_image_f32 image;
    size_t runs, run, run_step;      /* of a row of a window: floats, and from run to run */
    uint32_t channels, blocks, most; /* of y; of all groups; vectors of a block */
    split_by split;
    bool pairs; /* of pixels share a vector */
    pe_clip clip;
    weights from;
    size_t packed; /* bytes from the start of the layer, or of work, to what is packed */
    block block[];
} layer;

#define BAND_MOST (512 << 10) /* bytes of copied rows, in the second-level cache */

static size_t align64(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* Vectors of a block of at most `most` that has this many channels ahead of it. */
static uint32_t vectors_of(uint32_t most, uint32_t channels)
{
    const uint32_t n = (channels + PE_LANES - 1) / PE_LANES;
    return n >= most ? most : n > NR_MOST ? NR_MOST : n;
}

/* Vectors that tiles compute for a row of n pixels of so many channels, pixels that are done twice among them. */
static size_t computed(size_t n, uint32_t channels, uint32_t most)
{
    size_t sum = 0;
    for (uint32_t left = channels, nr; left; left -= left < nr * PE_LANES ? left : nr * PE_LANES) {
        nr = vectors_of(most, left);
        const size_t mr = tiles[pe_tile_for(tiles, sizeof tiles / sizeof tiles[0], n, nr)].mr;
        sum += (n + mr - 1) / mr * mr * nr;
    }
    return sum;
}

/* Vectors of a block: the most, for they share what is read of x, unless smaller ones fit a row of n pixels better. */
static uint32_t most_of(size_t n, uint32_t channels)
{
    if (n == 1)
        return NR_ROW;
    return NR_MOST > 2 && 32 * computed(n, channels, 2) < 31 * computed(n, channels, NR_MOST) ? 2 : NR_MOST;
}

static pe_layer_part_fn run_part;
static pe_layer_at_fn run_at;

#define PIXELS_TO_SPLIT 256 /* for which each part packs all weights that learn */

/* Everything but the blocks. False: not a case of these kernels. */
static bool describe(const pe_call *c, bool dgrad, layer *l, pe_layer_bytes *bytes)
{
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    const pe_tensor *bias = c->inputs > 2 ? c->tensor[2] : NULL;
    const float none = __builtin_inff();
    if (!pe_in_arena(x))
        return false;
    pe_axis h = {1, 1, 1, 1, 1, 0}, v = {x->dims[0], y->dims[0], 1, 1, 1, 0}; /* linear: pixels are the rows of x */
    int32_t images = 1, groups = 1;
    size_t c_in = (size_t)x->dims[x->rank - 1], c_out = (size_t)y->dims[y->rank - 1];
    const bool depthwise = w->rank == 3; /* [kh][kw][C_out] */
    if (x->rank == 2) {
        const pe_linear_params *p = c->params;
        l->clip = (pe_clip){p->f_min, p->f_max};
    } else {
        const pe_conv2d_params *p = c->params;
        if (depthwise && c_in != 1)
            return false;
        h = pe_axis_h(p, dgrad ? y : x, dgrad ? x : y, w->dims[depthwise ? 0 : 1]);
        v = pe_axis_w(p, dgrad ? y : x, dgrad ? x : y, w->dims[depthwise ? 1 : 2]);
        groups = depthwise ? 1 : p->groups;
        images = x->dims[0];
        l->clip = dgrad ? (pe_clip){-none, none} : (pe_clip){p->f_min, p->f_max};
        if (dgrad && !(pe_image_turn(&h) && pe_image_turn(&v)))
            return false;
    }
    const size_t taps = (size_t)h.taps * (size_t)v.taps, depth = c_in / (size_t)groups;
    if (h.taps == 1 && v.taps == 1 && h.stride == 1 && v.stride == 1 && h.pad == 0 && v.pad == 0 && h.in == h.out &&
        v.in == v.out) { /* a product: one row of pixels */
        v.in = v.out = images * h.in * v.in;
        h.in = h.out = images = 1;
    }
    l->from = (weights){
        .k = taps * depth,
        .groups = (size_t)groups,
        .depth = depth,
        .step_n = dgrad || depthwise ? 1 : taps * depth,
        .step_depth = 1,
        .step_tap = depthwise ? (ptrdiff_t)c_out : (ptrdiff_t)depth,
        .at_run = pe_in_arena(w) || (bias && pe_in_arena(bias)),
        .w = pe_place_of(c, 1),
        .bias = pe_place_of(c, 2),
        .has_bias = bias,
    };
    const size_t group = c_out / (size_t)groups;
    l->from.step_group = group * l->from.k;
    if (dgrad) { /* w [depth of all groups][taps][group] */
        l->from.step_depth = taps * group;
        l->from.step_tap = -(ptrdiff_t)group;
        l->from.first = (ptrdiff_t)((taps - 1) * group);
    }
    const bool one_run = v.taps == 1 || (groups == 1 && v.dilation == 1);
    l->runs = one_run ? 1 : (size_t)v.taps;
    l->run = one_run ? (size_t)v.taps * depth : depth;
    l->run_step = (size_t)v.dilation * c_in;
    l->channels = (uint32_t)c_out;
    /* Copying pays where a float takes part in several windows. */
    l->pairs = PE_LANES == 16 && c_out <= 8 && groups == 1 && v.out > 1 &&
               (int64_t)h.taps * v.taps > 2 * (int64_t)h.stride * v.stride;
    /* The weights are read again for each band: as many bytes of rows as of weights. */
    if (!pe_clip_fits(&l->clip) || !pe_image_describe(&l->image, x, y, h, v, images, c_in, c_out, l->pairs,
                                                      w->bytes < BAND_MOST ? w->bytes : BAND_MOST, &bytes->work))
        return false;
    if (l->pairs && !pe_image_pair(&l->image, &bytes->work))
        return false;
    const int64_t rows = (int64_t)images * h.out;
    l->split = rows >= 16 ? SPLIT_ROWS : rows == 1 && v.out >= 64 ? SPLIT_COLS : SPLIT_BLOCKS;
    if (l->from.at_run && rows * v.out < PIXELS_TO_SPLIT)
        l->split = SPLIT_BLOCKS;
    l->most = most_of((size_t)v.out, (uint32_t)group);
    l->blocks = 0;
    size_t vectors = 0;
    for (uint32_t left = (uint32_t)group, n; left; left -= n) {
        const uint32_t nr = vectors_of(l->most, left);
        n = left < nr * PE_LANES ? left : nr * PE_LANES;
        vectors += nr;
        l->blocks++;
    }
    l->blocks *= (uint32_t)groups;
    vectors *= (size_t)groups;
    const size_t packed = vectors * PE_LANES * sizeof(float) * (l->from.k + 1);
    bytes->packed = align64(sizeof *l + l->blocks * sizeof(block));
    if (l->from.at_run) {
        l->packed = align64(bytes->work);
        bytes->work = l->packed + packed;
    } else {
        l->packed = bytes->packed;
        bytes->packed += packed;
    }
    bytes->part = (uint64_t)rows * (uint64_t)v.out * (w->bytes / sizeof(float)) >= PE_MACS_TO_SPLIT ? run_part : NULL;
    if (!l->from.at_run) {
        bytes->at = run_at;
        bytes->canonicalize = pe_canonicalize_floats;
    }
    return true;
}

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, false, &l, bytes);
}

static bool takes_dgrad(const pe_call *c, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, true, &l, bytes);
}

/* Bias and weights of blocks first .. end - 1, to where they belong from `to` on. arena: if they learn. */
static void pack_blocks(const layer *l, const block *first, const block *end, const uint8_t *arena, uint8_t *to)
{
    const weights *ws = &l->from;
    const float *w = pe_place_at(&ws->w, arena), *bias = ws->has_bias ? pe_place_at(&ws->bias, arena) : NULL;
    const size_t group = l->channels / ws->groups, copies = l->pairs ? 2 : 1;
    for (const block *b = first; b != end; b++) {
        const size_t width = (size_t)b->nr * PE_LANES;
        float *biases = (float *)(to + b->bias), *row = (float *)(to + b->weights);
        const float *from = w + b->first / group * ws->step_group + b->first % group * ws->step_n;
        for (size_t i = 0; i < width; i++)
            biases[i] = bias && i < b->channels * copies ? bias[b->first + i / copies] : 0;
        if (!l->pairs && ws->step_n != 1) { /* the weights of a channel are neighbours */
            pe_pack_transposed(row, width, from, ws->step_n, b->channels, ws->k);
            continue;
        }
        for (size_t k = 0; k < ws->k; k++, row += width) {
            const float *at =
                from + ws->first + (ptrdiff_t)(k / ws->depth) * ws->step_tap + k % ws->depth * ws->step_depth;
            if (!l->pairs)
                pe_pack_row(row, at, b->channels);
            else
                for (size_t i = 0; i < PE_LANES; i++)
                    row[i] = i / 2 < b->channels ? at[i / 2 * ws->step_n] : 0;
        }
    }
}

static void pack_layer(const pe_call *c, bool dgrad, layer *l)
{
    pe_layer_bytes bytes = {0};
    describe(c, dgrad, l, &bytes);
    const weights *ws = &l->from;
    const uint32_t group = l->channels / (uint32_t)ws->groups;
    size_t at = 0;
    uint32_t first = 0, left = group;
    for (block *b = l->block; b != l->block + l->blocks; b++) {
        b->first = first;
        b->x_first = first / group * (uint32_t)ws->depth;
        b->nr = vectors_of(l->most, left);
        b->channels = left < b->nr * PE_LANES ? left : b->nr * PE_LANES;
        b->bias = at;
        b->weights = at + b->nr * PE_LANES * sizeof(float);
        at += (ws->k + 1) * b->nr * PE_LANES * sizeof(float);
        first += b->channels;
        left -= b->channels;
        left = left ? left : group;
    }
    if (!ws->at_run)
        pack_blocks(l, l->block, l->block + l->blocks, NULL, (uint8_t *)l + l->packed);
}

static void pack(const pe_call *c, void *packed)
{
    pack_layer(c, false, packed);
}

static void pack_dgrad(const pe_call *c, void *packed)
{
    pack_layer(c, true, packed);
}

/* Blocks first .. end - 1 of rows r .. r_end - 1 of y, columns c .. c_end - 1. x: the first window of row r. */
static void run_blocks(const layer *l, const uint8_t *packed, const block *first, const block *end, int32_t r,
                       int32_t r_end, int32_t c, int32_t c_end, const float *x, float *y)
{
    const pe_image_f32 *m = &l->image;
    const size_t width = l->pairs ? 2 : 1, row = width * m->row, pixel = width * m->pixel;
    const size_t n = (size_t)(c_end - c), step = (size_t)m->stride * row;
    y += (size_t)r * m->y_row + (size_t)c * l->channels;
    x += (size_t)c * pixel;
    for (const block *b = first; b != end; b++) {
        pixels_fn *const tile = tile_for(l->pairs, n, b->nr);
        const job j = {.weights = (const float *)(packed + b->weights),
                       .bias = (const float *)(packed + b->bias),
                       .taps = (size_t)m->taps,
                       .row = (size_t)m->dilation * row,
                       .runs = l->runs,
                       .run = l->run,
                       .run_step = width * l->run_step,
                       .pixel = pixel,
                       .channels = b->channels,
                       .stride = l->channels,
                       .clip = l->clip};
        for (int32_t i = 0; i < r_end - r; i++)
            tile(&j, x + b->x_first + (size_t)i * step, n, y + b->first + (size_t)i * m->y_row);
    }
}

/* arena: that of weights which are packed now. */
static void run_layer(const layer *l, const uint8_t *arena, const uint8_t *x_at, uint8_t *y_at, uint8_t *work,
                      uint32_t part, uint32_t parts)
{
    const pe_image_f32 *m = &l->image;
    const float *x = (const float *)x_at;
    float *y = (float *)y_at;
    int32_t row = 0, row_end = m->images * m->rows, col = 0, col_end = m->cols;
    const block *first = l->block, *end = l->block + l->blocks;
    switch (l->split) {
    case SPLIT_ROWS:
        row = pe_share(row_end, part, parts);
        row_end = pe_share(row_end, part + 1, parts);
        break;
    case SPLIT_COLS:
        col = pe_share(col_end, part, parts);
        col_end = pe_share(col_end, part + 1, parts);
        break;
    case SPLIT_BLOCKS:
        first = l->block + pe_share((int32_t)l->blocks, part, parts);
        end = l->block + pe_share((int32_t)l->blocks, part + 1, parts);
        break;
    }
    if (first == end || row == row_end || col == col_end)
        return;
    const uint8_t *packed = (const uint8_t *)l + l->packed;
    if (l->from.at_run) {
        pack_blocks(l, first, end, arena, work + l->packed);
        packed = work + l->packed;
    }
    while (row < row_end) {
        const int32_t n = row / m->rows, r = row % m->rows;
        int32_t rows = m->rows - r < row_end - row ? m->rows - r : row_end - row;
        rows = rows < m->band ? rows : m->band;
        const float *from = pe_image_band(m, x + (size_t)n * m->x_image, r, r + rows, (float *)work);
#ifdef __AVX512F__
        if (l->pairs)
            from = pe_image_pairs(m, rows, from, (float *)work);
#endif
        run_blocks(l, packed, first, end, r, r + rows, col, col_end, from, y + (size_t)n * m->y_image);
        row += rows;
    }
}

static void run_at(const void *packed, const uint8_t *x, uint8_t *y, uint8_t *work, uint32_t part, uint32_t parts)
{
    run_layer(packed, NULL, x, y, work, part, parts);
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    const layer *l = packed;
    run_layer(l, arena, arena + l->image.x, arena + l->image.y, work, part, parts);
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}

const pe_layer PE_LEVEL(pe_layer_conv2d_f32) = {PE_OP_CONV2D_F32, PE_LEVEL_NAME(conv2d_f32), takes, pack, run};
const pe_layer PE_LEVEL(pe_layer_linear_f32) = {PE_OP_LINEAR_F32, PE_LEVEL_NAME(linear_f32), takes, pack, run};
const pe_layer PE_LEVEL(pe_layer_depthwise_one_f32) = {PE_OP_DEPTHWISE_F32, PE_LEVEL_NAME(depthwise_one_f32), takes,
                                                       pack, run};
const pe_layer PE_LEVEL(pe_layer_conv2d_dgrad_f32) = {PE_OP_CONV2D_DGRAD_F32, PE_LEVEL_NAME(conv2d_dgrad_f32),
                                                      takes_dgrad, pack_dgrad, run};
