#include "kernels/neon/gemm_f16.h"

#include "kernels/neon/convert.h"
#include "kernels/neon/pack.h"
#include "kernels/place.h"
#include "ops/window.h"

#define PANEL_BYTES (256 << 10) /* of x at once, if that is more than a tile: half of the L2 cache of a Cortex-A76 */
#define WORK_BYTES (16 << 20)   /* at most: windows of more are left to the portable code */
#define SLACK 128               /* bytes that micro-kernels may read past x and w */
#define K_STEP 8
#define NEGATIVE_ZERO 0x8000
#define ALIGN(n) (((n) + 63) / 64 * 64)

typedef struct layer {
    pe_gemm_panels kernels;
    size_t x, y; /* in the arena */
    pe_axis h, w;
    size_t x_row, x_image; /* bytes */
    size_t tap, pixel;     /* bytes of x that a tap reads of a pixel; of a pixel */
    size_t step;           /* bytes of x from a pixel of y to the next */
    size_t pixels;         /* of y */
    size_t depth, k;       /* elements of a window; rounded up to K_STEP */
    size_t groups, group;  /* output channels of each */
    size_t blocks;         /* of channels, in a group */
    bool x_is_f16, y_is_f16, clips;
    bool direct;                      /* a window is a run of bytes in x */
    bool by_rows;                     /* rows of windows inside x are put into the panel from where they lie */
    int32_t run;                      /* taps of a row that are neighbours in x: all or 1 */
    size_t tiles, chunk;              /* tiles of pixels; of them in the panel */
    size_t panel_tile;                /* bytes */
    size_t bias, weights, block;      /* offsets from the constants; bytes of a block of weights */
    size_t work_weights, work_window; /* behind the panel: a block of float weights, one window */
    bool learns; /* weights are not known before a run: constants are in work, else behind the layer */
    size_t work_constants;
    pe_place w_place, bias_place;
    bool has_bias;
    float min, max;
} layer;

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void describe(const pe_call *c, const pe_gemm_panels *p, layer *l, pe_layer_bytes *bytes)
{
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    *l = (layer){.kernels = *p,
                 .x = x->offset,
                 .y = y->offset,
                 .h = {1, 1, 1, 1, 1, 0},
                 .w = {x->dims[0], y->dims[0], 1, 1, 1, 0}, /* linear: pixels are the rows of x */
                 .groups = 1,
                 .x_is_f16 = x->dtype == PE_F16,
                 .y_is_f16 = y->dtype == PE_F16,
                 .w_place = pe_place_of(c, 1),
                 .bias_place = pe_place_of(c, 2),
                 .has_bias = c->inputs > 2 && c->tensor[2]};
    l->learns = pe_in_arena(w) || (l->has_bias && pe_in_arena(c->tensor[2]));
    const size_t element = l->x_is_f16 ? 2 : 4, panel_element = 16 / p->lanes;
    size_t images = 1, c_in = (size_t)x->dims[1], c_out = (size_t)w->dims[0];
    if (w->rank == 4) {
        const pe_conv2d_params *params = c->params;
        l->h = pe_axis_h(params, x, y, w->dims[1]);
        l->w = pe_axis_w(params, x, y, w->dims[2]);
        l->groups = (size_t)params->groups;
        l->min = params->f_min;
        l->max = params->f_max;
        images = (size_t)x->dims[0];
        c_in = (size_t)x->dims[3];
    } else {
        const pe_linear_params *params = c->params;
        l->min = params->f_min;
        l->max = params->f_max;
    }
    l->clips = l->min > -__builtin_inff() || l->max < __builtin_inff();
    l->pixel = c_in * element;
    l->tap = l->pixel / l->groups;
    l->step = (size_t)l->w.stride * l->pixel;
    l->x_row = (size_t)l->w.in * l->pixel;
    l->x_image = (size_t)l->h.in * l->x_row;
    if (l->h.taps == 1 && l->w.taps == 1 && l->h.stride == 1 && l->w.stride == 1 && pe_axis_inside(&l->h) &&
        pe_axis_inside(&l->w) && l->h.in == l->h.out && l->w.in == l->w.out) { /* a product: one row of pixels */
        l->w.in = l->w.out = (int32_t)images * l->h.out * l->w.out;
        l->h.in = l->h.out = 1;
        images = 1;
    }
    l->pixels = images * (size_t)l->h.out * (size_t)l->w.out;
    l->depth = (size_t)l->h.taps * (size_t)l->w.taps * (l->tap / element);
    l->k = (l->depth + K_STEP - 1) / K_STEP * K_STEP;
    l->run = l->groups == 1 && l->w.dilation == 1 ? l->w.taps : 1;
    l->direct = l->h.taps == 1 && l->run == l->w.taps && pe_axis_inside(&l->h) && pe_axis_inside(&l->w);
    l->by_rows = l->run == l->w.taps && (size_t)l->w.taps * l->tap % (K_STEP * element) == 0;
    l->group = c_out / l->groups;
    l->blocks = (l->group + p->nr - 1) / p->nr;
    l->tiles = (l->pixels + PE_PANEL_ROWS - 1) / PE_PANEL_ROWS;
    l->panel_tile = l->k * PE_PANEL_ROWS * panel_element;
    l->chunk = min_size(l->tiles, PANEL_BYTES / l->panel_tile);
    l->chunk += l->chunk == 0;
    l->bias = 0;
    l->weights = ALIGN(l->bias + l->groups * l->blocks * p->nr * sizeof(float));
    l->block = l->k * p->nr * sizeof(uint16_t);
    const size_t constants = l->weights + l->groups * l->blocks * l->block + SLACK;
    bytes->packed = ALIGN(sizeof *l) + (l->learns ? 0 : constants);
    l->work_weights = ALIGN(l->chunk * l->panel_tile + SLACK);
    l->work_window = l->work_weights + (p->widen ? ALIGN(l->k * p->nr * sizeof(float) + SLACK) : 0);
    l->work_constants = ALIGN(l->work_window + (l->direct ? 0 : l->depth * element));
    bytes->work = l->work_constants + (l->learns ? constants : 0);
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts);

bool pe_neon_panels_takes(const pe_call *c, const pe_gemm_panels *p, pe_layer_bytes *bytes)
{
    if (!pe_in_arena(c->tensor[0]))
        return false;
    layer l;
    describe(c, p, &l, bytes);
    bytes->part = (uint64_t)l.pixels * l.depth * l.groups * l.group >= PE_MACS_TO_SPLIT ? run_part : NULL;
    return bytes->work <= WORK_BYTES;
}

/* Bias and weights of blocks first .. end - 1, as kernels take them. */
static void pack_blocks(const layer *l, const uint16_t *w, const float *bias, size_t first, size_t end, uint8_t *to)
{
    const size_t nr = l->kernels.nr;
    for (size_t b = first; b < end; b++) {
        const size_t in_group = b % l->blocks * nr, n = min_size(l->group - in_group, nr);
        const size_t channel = b / l->blocks * l->group + in_group;
        uint16_t *const weights = (uint16_t *)(void *)(to + l->weights + b * l->block);
        float *const start = (float *)(void *)(to + l->bias) + b * nr;
        for (size_t i = 0; i < nr; i++)
            start[i] = bias && i < n ? bias[channel + i] : 0;
        if (n < nr)
            __builtin_memset(weights, 0, l->block);
        pe_neon_pack_f16(weights, nr, w + channel * l->depth, l->depth, n, l->depth);
        for (size_t i = l->depth * nr; i < l->k * nr; i++)
            weights[i] = NEGATIVE_ZERO;
    }
}

void pe_neon_panels_pack(const pe_call *c, const pe_gemm_panels *p, void *packed)
{
    layer *l = packed;
    pe_layer_bytes bytes = {0};
    describe(c, p, l, &bytes);
    if (!l->learns)
        pack_blocks(l, c->data[1], l->has_bias ? c->data[2] : NULL, 0, l->groups * l->blocks,
                    (uint8_t *)packed + ALIGN(sizeof *l));
}

/* Copies the taps of one row of a window, from column `col` of x on; those in the padding are +0. from: the row, or NULL.
 * Returns the end. */
static uint8_t *copy_taps(const layer *l, const uint8_t *from, int32_t col, uint8_t *to)
{
    for (int32_t left = l->w.taps, n; left; left -= n, col += n * l->w.dilation) {
        const bool inside = from && col >= 0 && col < l->w.in;
        n = l->run;
        if (inside && n > l->w.in - col)
            n = l->w.in - col;
        if (!inside && from && col < 0 && n > -col)
            n = -col;
        n = n < left ? n : left;
        const size_t bytes = (size_t)n * l->tap;
        if (inside)
            __builtin_memcpy(to, from + (size_t)col * l->pixel, bytes);
        else
            __builtin_memset(to, 0, bytes);
        to += bytes;
    }
    return to;
}

/* A pixel of y, and its window if that is a run of bytes in x. */
typedef struct place {
    size_t image;
    int32_t row, col;
    const uint8_t *direct;
} place;

static const uint8_t *row_of(const layer *l, const uint8_t *x, const place *p)
{
    return x + p->image * l->x_image + (size_t)p->row * (size_t)l->h.stride * l->x_row;
}

static place place_of(const layer *l, const uint8_t *x, size_t pixel)
{
    const size_t cols = (size_t)l->w.out, rows = (size_t)l->h.out;
    place p = {pixel / cols / rows, (int32_t)(pixel / cols % rows), (int32_t)(pixel % cols), NULL};
    if (l->direct)
        p.direct = row_of(l, x, &p) + (size_t)p.col * l->step;
    return p;
}

static void next(const layer *l, const uint8_t *x, place *p)
{
    p->direct += l->direct ? l->step : 0;
    if (++p->col < l->w.out)
        return;
    p->col = 0;
    if (++p->row == l->h.out) {
        p->row = 0;
        p->image++;
    }
    if (l->direct)
        p->direct = row_of(l, x, p);
}

/* Copies the window of a pixel to `to`. */
static void copy_window(const layer *l, const uint8_t *x, const place *p, uint8_t *to)
{
    const int32_t col = p->col * l->w.stride - l->w.pad;
    int32_t row = p->row * l->h.stride - l->h.pad;
    x += p->image * l->x_image;
    for (int32_t i = 0; i < l->h.taps; i++, row += l->h.dilation)
        to = copy_taps(l, row >= 0 && row < l->h.in ? x + (size_t)row * l->x_row : NULL, col, to);
}

/* The window of a pixel is in x whole. */
static bool is_inside(const layer *l, const place *p)
{
    const int32_t row = p->row * l->h.stride - l->h.pad, col = p->col * l->w.stride - l->w.pad;
    return row >= 0 && row + (l->h.taps - 1) * l->h.dilation < l->h.in && col >= 0 && col + l->w.taps <= l->w.in;
}

/* 8 elements to the panel. Returns the end. */
PE_INLINE uint8_t *put_8(const uint8_t *from, uint8_t *to, const bool from_f16, const bool to_f16)
{
    enum { STEP = PE_PANEL_ROWS * 16 }; /* bytes between registers of one row */
    if (to_f16) {
        vst1q_u16((uint16_t *)(void *)to, pe_neon_load_f16(from, from_f16));
        return to + STEP;
    }
    vst1q_f32((float *)(void *)to, pe_neon_load_f32(from, from_f16));
    vst1q_f32((float *)(void *)(to + STEP), pe_neon_load_f32(from + (from_f16 ? 8 : 16), from_f16));
    return to + 2 * STEP;
}

/* Elements of a window to a row of a tile. to: the register of the first. Returns the end. */
PE_INLINE uint8_t *put(const uint8_t *from, size_t depth, uint8_t *to, const bool from_f16, const bool to_f16)
{
    const size_t step = K_STEP * (from_f16 ? 2 : 4);
    for (; depth >= 4 * K_STEP; depth -= 4 * K_STEP)
        PE_FOR (i, 4) {
            to = put_8(from, to, from_f16, to_f16);
            from += step;
        }
    for (; depth >= K_STEP; depth -= K_STEP, from += step)
        to = put_8(from, to, from_f16, to_f16);
    if (depth) {
        uint8_t last[K_STEP * 4] = {0};
        __builtin_memcpy(last, from, depth * step / K_STEP);
        to = put_8(last, to, from_f16, to_f16);
    }
    return to;
}

/* Rows of the kernel for a tile with n pixels. */
static size_t rows_for(size_t n)
{
    return n > 4 ? 8 : n > 2 ? 4 : n;
}

static size_t pixels_of(const layer *l, size_t tile)
{
    return min_size(l->pixels - tile * PE_PANEL_ROWS, PE_PANEL_ROWS);
}

/* The panel of tiles first .. first + n - 1, with the channels from x on. Rows without a pixel repeat the last. */
PE_INLINE void fill_of(const layer *l, const uint8_t *x, size_t first, size_t n, uint8_t *panel, uint8_t *to,
                       const bool from_f16, const bool to_f16)
{
    const size_t depth = l->depth, row_elements = depth / (size_t)l->h.taps;
    const ptrdiff_t pixel = (ptrdiff_t)l->pixel, above = l->h.pad * (ptrdiff_t)l->x_row;
    const ptrdiff_t tap_row = l->h.dilation * (ptrdiff_t)l->x_row;
    place p = place_of(l, x, first * PE_PANEL_ROWS);
    for (size_t tile = first; tile < first + n; tile++, panel += l->panel_tile) {
        const size_t pixels = pixels_of(l, tile), m = rows_for(pixels);
        for (size_t row = 0; row < m; row++) {
            uint8_t *at = panel + row * 16;
            if (l->by_rows && !l->direct && is_inside(l, &p)) {
                const uint8_t *from = row_of(l, x, &p) + ((p.col * l->w.stride - l->w.pad) * pixel - above);
                for (int32_t i = 0; i < l->h.taps; i++, from += tap_row)
                    at = put(from, row_elements, at, from_f16, to_f16);
            } else {
                if (!l->direct)
                    copy_window(l, x, &p, to);
                put(l->direct ? p.direct : to, depth, at, from_f16, to_f16);
            }
            if (row + 1 < pixels || pixels == m)
                next(l, x, &p);
        }
    }
}

static void fill(const layer *l, const uint8_t *x, size_t first, size_t n, uint8_t *panel, uint8_t *to)
{
    if (l->kernels.lanes == 8)
        l->x_is_f16 ? fill_of(l, x, first, n, panel, to, true, true) : fill_of(l, x, first, n, panel, to, false, true);
    else
        l->x_is_f16 ? fill_of(l, x, first, n, panel, to, true, false)
                    : fill_of(l, x, first, n, panel, to, false, false);
}

/* A block, or blocks that one kernel takes together, as tiles see it. */
typedef struct columns {
    size_t k, block;
    const float *bias;
    size_t width, n; /* columns of sums; of y */
    size_t y_row;    /* bytes from pixel to pixel */
    bool is_f16, clips;
    bool in_place; /* sums can be y as they are */
    float min, max;
} columns;

/* A block of 4 * V sums of 8 rows to y. */
PE_INLINE void store(const columns *c, const float *sums, uint8_t *y, const int V, const bool is_f16, const bool clips)
{
    const float min = c->min, max = c->max;
    const size_t y_row = c->y_row;
    PE_FOR (row, PE_PANEL_ROWS) {
        PE_FOR (i, V / 2) {
            float32x4_t low = vld1q_f32(sums + 4 * V * row + 8 * i), high = vld1q_f32(sums + 4 * V * row + 8 * i + 4);
            if (clips) {
                low = pe_neon_clip(low, min, max);
                high = pe_neon_clip(high, min, max);
            }
            pe_neon_store_8(y + (is_f16 ? 16 : 32) * i, low, high, is_f16);
        }
        y += y_row;
    }
}

PE_INLINE void store_of(const columns *c, const float *sums, uint8_t *y, const int V)
{
    if (c->is_f16)
        c->clips ? store(c, sums, y, V, true, true) : store(c, sums, y, V, true, false);
    else
        c->clips ? store(c, sums, y, V, false, true) : store(c, sums, y, V, false, false);
}

/* The same for other numbers of rows and of columns. */
static void store_some(const columns *c, const float *sums, size_t rows, uint8_t *y)
{
    const size_t element = c->is_f16 ? 2 : 4;
    for (; rows; rows--, sums += c->width, y += c->y_row)
        for (size_t i = 0; i < c->n; i += 4) {
            float32x4_t v = vld1q_f32(sums + i);
            if (c->clips)
                v = pe_neon_clip(v, c->min, c->max);
            pe_neon_store_either(y + i * element, v, c->is_f16, min_size(c->n - i, 4));
        }
}

/* n tiles of 8 rows. y: the block's columns of the first pixel. */
static void run_eights(const columns *c, pe_gemm_panel_fn *gemm, size_t n, size_t panel_tile, const uint8_t *x,
                       const void *w, uint8_t *y)
{
    const size_t y_tile = PE_PANEL_ROWS * c->y_row;
    if (c->in_place) {
        for (; n; n--, x += panel_tile, y += y_tile)
            gemm(c->k, x, w, 0, c->bias, (float *)(void *)y, c->y_row);
        return;
    }
    float sums[PE_PANEL_ROWS * 16];
    for (; n; n--, x += panel_tile, y += y_tile) {
        gemm(c->k, x, w, 0, c->bias, sums, c->width * sizeof *sums);
        if (c->n < c->width)
            store_some(c, sums, PE_PANEL_ROWS, y);
        else if (c->n == 16)
            store_of(c, sums, y, 4);
        else
            store_of(c, sums, y, 2);
    }
}

/* Tiles first .. first + n - 1, which are in the panel, by blocks b .. end - 1 of one group. */
static void run_blocks(const layer *l, const uint8_t *constants, size_t first, size_t n, size_t b, size_t end,
                       const uint8_t *panel, float *wide, uint8_t *y)
{
    const pe_gemm_panels *g = &l->kernels;
    const size_t element = l->y_is_f16 ? 2 : 4, y_row = l->groups * l->group * element;
    const size_t rest = pixels_of(l, first + n - 1) % PE_PANEL_ROWS, m = rows_for(rest), eights = n - (rest > 0);
    pe_gemm_panel_fn *const few = m == 8 ? g->eight : m == 4 ? g->four : m == 2 ? g->two : g->one;
    for (size_t blocks; b < end; b += blocks) {
        const bool row = eights == 0 && m == 1 && end - b >= PE_PANEL_BLOCKS;
        const size_t in_group = b % l->blocks * g->nr;
        blocks = row ? PE_PANEL_BLOCKS : 1;
        const columns c = {.k = l->k,
                           .block = l->block,
                           .bias = (const float *)(const void *)(constants + l->bias) + b * g->nr,
                           .width = blocks * g->nr,
                           .n = min_size(l->group - in_group, blocks * g->nr),
                           .y_row = y_row,
                           .is_f16 = l->y_is_f16,
                           .clips = l->clips,
                           .in_place = !l->y_is_f16 && !l->clips && l->group - in_group >= blocks * g->nr,
                           .min = l->min,
                           .max = l->max};
        const uint8_t *const weights = constants + l->weights + b * l->block;
        const void *w = weights;
        pe_gemm_panel_fn *const gemm = row ? g->one_by_four : few;
        if (g->widen && (eights || m == 8)) {
            g->widen(w, l->k * g->nr, wide);
            w = wide;
        }
        uint8_t *to = y + first * PE_PANEL_ROWS * y_row + (b / l->blocks * l->group + in_group) * element;
        run_eights(&c, g->eight, eights, l->panel_tile, panel, w, to);
        if (rest == 0)
            continue;
        float sums[PE_PANEL_ROWS * 16];
        gemm(l->k, panel + eights * l->panel_tile, m == 8 ? w : weights, l->block, c.bias, sums,
             c.width * sizeof *sums);
        store_some(&c, sums, rest, to + eights * PE_PANEL_ROWS * y_row);
    }
}

static size_t share(size_t n, uint32_t part, uint32_t parts)
{
    return (size_t)((uint64_t)n * part / parts);
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    const layer *l = packed;
    size_t tile = 0, tiles = l->tiles, begin = 0, end = l->groups * l->blocks;
    if (tiles >= end) {
        tile = share(l->tiles, part, parts);
        tiles = share(l->tiles, part + 1, parts);
    } else {
        begin = share(end, part, parts);
        end = share(end, part + 1, parts);
    }
    const uint8_t *constants = (const uint8_t *)packed + ALIGN(sizeof *l);
    if (l->learns && tile < tiles) {
        const float *bias = l->has_bias ? pe_place_at(&l->bias_place, arena) : NULL;
        pack_blocks(l, (const uint16_t *)(const void *)pe_place_at(&l->w_place, arena), bias, begin, end,
                    work + l->work_constants);
        constants = work + l->work_constants;
    }
    for (size_t n; tile < tiles; tile += n) {
        n = min_size(tiles - tile, l->chunk);
        for (size_t b = begin, group_end; b < end; b = group_end) {
            const size_t group = b / l->blocks;
            group_end = min_size(end, (group + 1) * l->blocks);
            fill(l, arena + l->x + group * l->tap, tile, n, work, work + l->work_window);
            run_blocks(l, constants, tile, n, b, group_end, work, (float *)(void *)(work + l->work_weights),
                       arena + l->y);
        }
    }
}

void pe_neon_panels_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}
