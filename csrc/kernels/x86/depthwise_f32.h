#include "kernels/nan.h"
#include "kernels/x86/image_f32.h"
#include "kernels/x86/pack_f32.h"

/* depthwise_f32 with multiplier 1, and depthwise_dgrad_f32 without steps: dx is a convolution of dy, with the taps from the
 * last to the first. Weights that learn are packed before each run.
 *
 * Two ways to fill a vector: with channels of one pixel; or, where windows are neighbours and PE_LANES is a multiple of
 * the channels, with several pixels, which lie there one after the other, and the weights repeated.
 *
 * Rows are copied with their padding, so that vectors may read past their ends. Whole vectors of channels under windows of
 * 3x3 that reach at most one column over the edges are read where they are: what lies outside comes from a row of zeros. */

typedef struct layer {
    pe_image_f32 image;
    size_t channels;
    size_t dilation;      /* floats from tap to tap */
    int32_t taps;         /* along a row */
    bool many;            /* pixels in a vector */
    bool direct;          /* x is not copied */
    size_t step;          /* floats from vector to vector of a row, as they are read */
    size_t count, last;   /* vectors of a row of y; floats of the last one, with `many` */
    size_t blocks;        /* of channels */
    size_t bias, weights; /* floats from `packed` on: [blocks][PE_LANES], [blocks][taps][PE_LANES] */
    size_t packed;        /* bytes from the start of the layer, or of work, to what is packed */
    bool at_run;          /* packed before each run: weights or bias are in the arena */
    pe_place from_w, from_bias;
    bool has_bias;
    bool turned; /* taps from the last to the first */
    pe_clip clip;
} layer;

/* What is the same for all rows of a block of channels. */
typedef struct job {
    const float *weights, *bias;
    size_t y_step, lanes; /* floats of y from vector to vector, and of each that are stored */
    int32_t rows;         /* of y, x_row and y_row floats apart */
    size_t x_row, y_row;
} job;

/* Rows of n vectors of y, n >= MR. x: the first window. */
typedef void vectors_fn(const layer *l, const job *j, const float *x, size_t n, float *y);

/* One tap of MR vectors. */
#define TAP(at, weight) \
    PE_FOR (p, MR)      \
    sum[p] = pe_pixel_fma(sum[p], weight, at, &s, p)

/* IS_3X3: the weights stay in registers, and nothing is counted. */
PE_INLINE void vectors(const layer *l, const job *j, const float *x, const size_t n, float *y, const int MR,
                       const bool IS_3X3)
{
    const pe_steps s = pe_steps_of(l->step);
    const pe_clip_v clip = pe_clip_all(&l->clip);
    const pe_f32v bias = pe_f32v_load(j->bias);
    const size_t row_step = (size_t)l->image.dilation * l->image.row;
    pe_f32v b[9];
    if (IS_3X3)
        PE_FOR (i, 9)
            b[i] = pe_f32v_load(j->weights + i * PE_LANES);
    for (int32_t r = 0; r < j->rows; r++, x += j->x_row, y += j->y_row)
        for (size_t done = 0; done < n;) {
            pe_f32v sum[8];
            const float *row = x + done * l->step, *weight = j->weights;
            PE_FOR (p, MR)
                sum[p] = bias;
            if (IS_3X3) {
                PE_FOR (i, 3) {
                    const float *at = row + (size_t)i * row_step;
                    PE_FOR (k, 3) {
                        TAP(at, b[3 * i + k]);
                        at += l->dilation;
                    }
                }
            } else {
                for (int32_t i = l->image.taps; i; i--, row += row_step) {
                    const float *at = row;
                    for (int32_t k = l->taps; k; k--, at += l->dilation, weight += PE_LANES) {
                        const pe_f32v w = pe_f32v_load(weight);
                        TAP(at, w);
                    }
                }
            }
            float *to = y + done * j->y_step;
            PE_FOR (p, MR) {
                const pe_f32v v = pe_f32v_clip(sum[p], &clip);
                if (j->lanes == PE_LANES)
                    pe_f32v_store(to, v);
                else
                    pe_f32v_store_first(to, v, j->lanes);
                to += j->y_step;
            }
            done += (size_t)MR;
            if (done < n && n - done < (size_t)MR)
                done = n - (size_t)MR;
        }
}

/* Rows first .. end - 1 of y from x where it lies; x, y: the image's. zeros: a row of x and more. packed: weights. Channels are inside, as
 * they lie: those of a block alone would crowd into few sets of the cache. */
PE_INLINE void direct(const layer *l, const float *packed, const float *x, const float *zeros, int32_t first,
                      int32_t end, float *y, const int MR)
{
    const pe_image_f32 *m = &l->image;
    const pe_steps s = pe_steps_of(l->step);
    const pe_clip_v clip = pe_clip_all(&l->clip);
    const size_t c = l->channels, cols = l->count;
    const size_t reach = (size_t)(MR - 1) * l->step + 2 * c; /* of a tile: floats from its first column to the last */
    for (int32_t r = first; r < end; r++) {
        const float *rows[3];
        PE_FOR (i, 3) {
            const int32_t from = r * m->stride - m->pad + i;
            rows[i] = from < 0 || from >= m->in_rows ? zeros : x + (size_t)from * m->x_row;
        }
        const float *weights = packed + l->weights, *biases = packed + l->bias;
        float *to_row = y + (size_t)r * m->y_row;
        for (size_t channel = 0; channel < c; channel += PE_LANES, weights += 9 * PE_LANES, to_row += PE_LANES) {
            const pe_f32v bias = pe_f32v_load(biases + channel);
            pe_f32v b[9];
            PE_FOR (i, 9)
                b[i] = pe_f32v_load(weights + i * PE_LANES);
            for (size_t done = 0; done < cols;) {
                /* Floats from the row's start, the padding included: the first column of the tile, and behind the last. */
                const size_t column = done * l->step, behind = column + reach + c;
                const bool over = behind > m->left + m->x_row;
                pe_f32v sum[8];
                PE_FOR (p, MR)
                    sum[p] = bias;
                PE_FOR (i, 3) {
                    /* May point to the padding, which is not read. */
                    const float *at =
                        (const float *)((uintptr_t)(rows[i] + channel) + (column - m->left) * sizeof(float));
                    sum[0] = pe_f32v_fma(pe_f32v_load(column < m->left ? zeros : at), b[3 * i], sum[0]);
                    for (int p = 1; p < MR; p++)
                        sum[p] = pe_pixel_fma(sum[p], b[3 * i], at, &s, p);
                    at += c;
                    PE_FOR (p, MR)
                        sum[p] = pe_pixel_fma(sum[p], b[3 * i + 1], at, &s, p);
                    at += c;
                    PE_FOR (p, MR - 1)
                        sum[p] = pe_pixel_fma(sum[p], b[3 * i + 2], at, &s, p);
                    at += (size_t)(MR - 1) * l->step;
                    sum[MR - 1] = pe_f32v_fma(pe_f32v_load(over ? zeros : at), b[3 * i + 2], sum[MR - 1]);
                }
                float *to = to_row + done * c;
                PE_FOR (p, MR)
                    pe_f32v_store(to + (size_t)p * c, pe_f32v_clip(sum[p], &clip));
                done += (size_t)MR;
                if (done < cols && cols - done < (size_t)MR)
                    done = cols - (size_t)MR;
            }
        }
    }
}

#define TILES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(8)
#define TILE(MR)                                                                                                    \
    static void vectors_##MR(const layer *l, const job *j, const float *x, size_t n, float *y)                      \
    {                                                                                                               \
        vectors(l, j, x, n, y, MR, false);                                                                          \
    }                                                                                                               \
    static void vectors_3x3_##MR(const layer *l, const job *j, const float *x, size_t n, float *y)                  \
    {                                                                                                               \
        vectors(l, j, x, n, y, MR, true);                                                                           \
    }                                                                                                               \
    static void direct_##MR(const layer *l, const float *packed, const float *x, const float *zeros, int32_t first, \
                            int32_t end, float *y)                                                                  \
    {                                                                                                               \
        direct(l, packed, x, zeros, first, end, y, MR);                                                             \
    }
TILES(TILE)
#define TILE_ROW(MR) {MR, {vectors_##MR, vectors_3x3_##MR}, direct_##MR},
static const struct {
    size_t mr;
    vectors_fn *vectors[2];
    void (*direct)(const layer *l, const float *packed, const float *x, const float *zeros, int32_t first, int32_t end,
                   float *y);
} tiles[] = {TILES(TILE_ROW)};

/* Number of the smallest tile that takes as few steps over n vectors as the largest would. */
static size_t tile_for(size_t n)
{
    const size_t wanted = (n - 1) / ((n - 1) / 8 + 1) + 1;
    size_t i = 0;
    while (tiles[i].mr < wanted && tiles[i + 1].mr <= n)
        i++;
    return i;
}

/* Rows of n vectors. */
static void run_vectors(const layer *l, const job *j, const float *x, size_t n, float *y)
{
    tiles[tile_for(n)].vectors[l->taps == 3 && l->image.taps == 3](l, j, x, n, y);
}

static pe_layer_part_fn run_part;
static pe_layer_at_fn run_at;

static bool describe(const pe_call *c, bool dgrad, layer *l, pe_layer_bytes *bytes)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    const pe_tensor *bias = c->inputs > 2 ? c->tensor[2] : NULL;
    const float none = __builtin_inff();
    const pe_clip clip = dgrad ? (pe_clip){-none, none} : (pe_clip){p->f_min, p->f_max};
    if (!pe_in_arena(x) || w->dims[2] != (dgrad ? y : x)->dims[3] || x->dims[3] != y->dims[3] || !pe_clip_fits(&clip))
        return false;
    pe_axis h = pe_axis_h(p, dgrad ? y : x, dgrad ? x : y, w->dims[0]),
            v = pe_axis_w(p, dgrad ? y : x, dgrad ? x : y, w->dims[1]);
    if (dgrad && !(pe_image_turn(&h) && pe_image_turn(&v)))
        return false;
    const size_t channels = (size_t)x->dims[3], taps = (size_t)h.taps * (size_t)v.taps;
    *l = (layer){.channels = channels, .taps = v.taps, .turned = dgrad, .clip = clip};
    if (!pe_image_describe(&l->image, x, y, h, v, x->dims[0], channels, channels, true, 0, &bytes->work))
        return false;
    l->dilation = (size_t)v.dilation * channels;
    l->many = v.stride == 1 && PE_LANES % channels == 0 && channels < PE_LANES;
    l->direct = channels % PE_LANES == 0 && h.taps == 3 && v.taps == 3 && h.dilation == 1 && v.dilation == 1 &&
                v.pad <= 1 && l->image.right <= channels;
    if (l->direct)
        bytes->work = (l->image.x_row + 2 * channels) * sizeof(float);
    l->step = l->many ? PE_LANES : l->image.pixel;
    l->count = l->many ? (l->image.y_row + PE_LANES - 1) / PE_LANES : (size_t)v.out;
    l->last = l->many ? l->image.y_row - (l->count - 1) * PE_LANES : 0;
    l->blocks = l->many ? 1 : (channels + PE_LANES - 1) / PE_LANES;
    l->bias = 0;
    l->weights = l->blocks * PE_LANES;
    l->at_run = pe_in_arena(w) || (bias && pe_in_arena(bias));
    l->from_w = pe_place_of(c, 1);
    l->from_bias = pe_place_of(c, 2);
    l->has_bias = bias;
    const size_t packed = (1 + taps) * l->blocks * PE_LANES * sizeof(float);
    bytes->packed = (sizeof *l + 63) / 64 * 64;
    if (l->at_run) {
        l->packed = (bytes->work + 63) / 64 * 64;
        bytes->work = l->packed + packed;
    } else {
        l->packed = bytes->packed;
        bytes->packed += packed;
    }
    const uint64_t macs = 4 * (uint64_t)l->image.images * l->image.y_image * taps; /* each is a load, and x is copied */
    bytes->part = macs >= PE_MACS_TO_SPLIT ? run_part : NULL;
    if (!l->at_run) {
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

/* Bias and weights to `to`. arena: if they learn. */
static void pack_weights(const layer *l, const uint8_t *arena, float *to)
{
    const float *w = pe_place_at(&l->from_w, arena), *bias = l->has_bias ? pe_place_at(&l->from_bias, arena) : NULL;
    const size_t taps = (size_t)l->image.taps * (size_t)l->taps;
    for (size_t b = 0; b < l->blocks; b++)
        for (size_t i = 0; i < PE_LANES; i++) {
            const size_t channel = l->many ? i % l->channels : b * PE_LANES + i;
            const bool real = channel < l->channels; /* others are not stored */
            to[l->bias + b * PE_LANES + i] = real && bias ? bias[channel] : 0;
            for (size_t t = 0; t < taps; t++)
                to[l->weights + (b * taps + t) * PE_LANES + i] =
                    real ? w[(l->turned ? taps - 1 - t : t) * l->channels + channel] : 0;
        }
}

static void pack_layer(const pe_call *c, bool dgrad, layer *l)
{
    pe_layer_bytes bytes = {0};
    describe(c, dgrad, l, &bytes);
    if (!l->at_run)
        pack_weights(l, NULL, (float *)((uint8_t *)l + l->packed));
}

static void pack(const pe_call *c, void *packed)
{
    pack_layer(c, false, packed);
}

static void pack_dgrad(const pe_call *c, void *packed)
{
    pack_layer(c, true, packed);
}

/* Rows of y. x: the first window of the first. */
static void run_rows(const layer *l, const float *packed, int32_t rows, const float *x, float *y)
{
    const pe_image_f32 *m = &l->image;
    job j = {.weights = packed + l->weights,
             .bias = packed + l->bias,
             .y_step = l->many ? PE_LANES : l->channels,
             .lanes = PE_LANES,
             .rows = rows,
             .x_row = (size_t)m->stride * m->row,
             .y_row = m->y_row};
    if (l->many) {
        const size_t whole = l->last == PE_LANES ? l->count : l->count - 1;
        if (whole)
            run_vectors(l, &j, x, whole, y);
        j.lanes = l->last;
        if (whole < l->count)
            run_vectors(l, &j, x + whole * PE_LANES, 1, y + whole * PE_LANES);
        return;
    }
    for (size_t channel = 0; channel < l->channels; channel += PE_LANES) {
        const size_t left = l->channels - channel;
        j.lanes = left < PE_LANES ? left : PE_LANES;
        run_vectors(l, &j, x + channel, l->count, y + channel);
        j.weights += (size_t)m->taps * (size_t)l->taps * PE_LANES;
        j.bias += PE_LANES;
    }
}

/* arena: that of weights which are packed now. */
static void run_layer(const layer *l, const uint8_t *arena, const uint8_t *x_at, uint8_t *y_at, uint8_t *work,
                      uint32_t part, uint32_t parts)
{
    const float *const packed = (const float *)((l->at_run ? work : (const uint8_t *)l) + l->packed);
    const pe_image_f32 *m = &l->image;
    const int32_t total = m->images * m->rows, row_end = pe_share(total, part + 1, parts);
    if (l->at_run)
        pack_weights(l, arena, (float *)(work + l->packed));
    if (l->direct)
        pe_image_zeros((float *)work, m->x_row + 2 * l->channels);
    for (int32_t row = pe_share(total, part, parts); row < row_end;) {
        const int32_t n = row / m->rows, r = row % m->rows;
        int32_t rows = m->rows - r < row_end - row ? m->rows - r : row_end - row;
        rows = rows < m->band || l->direct ? rows : m->band;
        const float *x = (const float *)x_at + (size_t)n * m->x_image;
        float *y = (float *)y_at + (size_t)n * m->y_image;
        if (l->direct)
            tiles[tile_for(l->count)].direct(l, packed, x, (const float *)work, r, r + rows, y);
        else
            run_rows(l, packed, rows, pe_image_band(m, x, r, r + rows, (float *)work), y + (size_t)r * m->y_row);
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

const pe_layer PE_LEVEL(pe_layer_depthwise_f32) = {PE_OP_DEPTHWISE_F32, PE_LEVEL_NAME(depthwise_f32), takes, pack, run};
const pe_layer PE_LEVEL(pe_layer_depthwise_dgrad_f32) = {PE_OP_DEPTHWISE_DGRAD_F32, PE_LEVEL_NAME(depthwise_dgrad_f32),
                                                         takes_dgrad, pack_dgrad, run};
