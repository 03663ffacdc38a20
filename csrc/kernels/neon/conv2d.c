#include "kernels/neon/conv2d.h"

#include "kernels/neon/pack.h"
#include "kernels/neon/stage.h"
#include "kernels/place.h"
#include "ops/window.h"

#define BAND_BYTES 16384      /* staged rows at once, if that is more than one row of y needs */
#define WORK_BYTES (16 << 20) /* staged rows at most: padding or dilation that dwarfs the image is not worth it */
#define SLACK 16              /* bytes behind the staged rows that are read into products with zero weights */
#define GATHER 16             /* bytes, below which rows of windows are gathered */
#define MANY_ROWS 8           /* of y, all images: these are split among threads */
#define MANY_COLS 64          /* pixels of y in a row: these are, if there are few rows; else blocks are */
#define ALIGN(n) (((n) + 63) / 64 * 64)

typedef struct layer {
    size_t x, y; /* in the arena */
    size_t x_image, y_image;
    int32_t images, rows, cols;         /* of y */
    int32_t band;                       /* rows of y; all of them where x is read where it lies */
    int32_t stride, pad, taps;          /* along a column of x */
    int32_t staged_stride, staged_taps; /* staged rows from one row of y to the next, and from tap to tap */
    bool direct;                        /* x is read where it lies */
    bool gathered;                      /* windows are copied next to each other: a row then has all of one */
    size_t window_row, elements;        /* of a row of a window; with its padding, as tiles see it */
    size_t pixel;                       /* staged bytes from one pixel of y to the next */
    uint32_t channels, blocks, nr, element;
    size_t block_constants;        /* bytes of a block; those of all stand before the weights */
    size_t weights, block_weights; /* offset from the first constants; bytes of a block */
    bool learns; /* weights are not known before a run: constants are in work, else behind the layer */
    size_t work_constants;
    pe_place w_place, bias_place;
    bool has_bias;
    int32_t gather_rows; /* at once */
    size_t gather_at;    /* in work */
    const pe_neon_tiles *tiles;
    bool half; /* the last block has half the channels */
    enum { SPLIT_ROWS, SPLIT_COLS, SPLIT_BLOCKS } split;
    pe_neon_form form;
    pe_neon_stage stage;
    pe_output_s8 out;
    float min, max;
} layer;

/* Rows of x that n rows of y need. */
static int32_t staged_rows(const layer *l, int32_t n)
{
    return (n - 1) * l->staged_stride + (l->taps - 1) * l->staged_taps + 1;
}

/* The row function for n pixels: with the fewest pixels in its tiles, those done twice and one for each tile counted. NULL:
 * there are too few pixels. */
static pe_neon_row_fn *choose(pe_neon_row_fn *const *rows, size_t n)
{
    size_t best = 0, least = SIZE_MAX;
    for (size_t mr = 1; mr <= PE_NEON_MR && mr <= n; mr++) {
        const size_t cost = ((n - 1) / mr + 1) * (mr + 1);
        if (rows[mr] && cost <= least) {
            best = mr;
            least = cost;
        }
    }
    return rows[best];
}

static pe_layer_part_fn run_part;

/* Fills *l. False: not a case of these kernels. */
static bool describe(const pe_call *c, const pe_neon_tiles *tiles, layer *l, pe_layer_bytes *bytes)
{
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    const bool is_conv = w->rank == 4, is_float = x->dtype == PE_F32;
    const pe_tensor *q = c->inputs > 2 ? c->tensor[2] : NULL;
    const bool learns = pe_in_arena(w) || (q && pe_in_arena(q));
    if (!pe_in_arena(x) || (learns && !is_float))
        return false;
    *l = (layer){.element = tiles->element,
                 .tiles = tiles,
                 .learns = learns,
                 .w_place = pe_place_of(c, 1),
                 .bias_place = pe_place_of(c, 2),
                 .has_bias = q};
    pe_axis h = {1, 1, 1, 1, 1, 0}, v = {x->dims[0], y->dims[0], 1, 1, 1, 0}; /* linear: pixels are the rows of x */
    int32_t c_in = x->dims[1], c_out = y->dims[1], images = 1, x_zero_point = 0;
    if (is_conv) {
        const pe_conv2d_params *p = c->params;
        h = pe_axis_h(p, x, y, w->dims[1]);
        v = pe_axis_w(p, x, y, w->dims[2]);
        if (p->groups != 1 || (v.dilation != 1 && v.taps != 1))
            return false;
        images = x->dims[0];
        c_in = x->dims[3];
        c_out = y->dims[3];
        x_zero_point = is_float ? 0 : p->x_zero_point;
        l->out = (pe_output_s8){p->y_zero_point, p->y_min, p->y_max};
        l->min = p->f_min;
        l->max = p->f_max;
    } else {
        const pe_linear_params *p = c->params;
        if (!is_float && p->rounding != PE_ROUND_TFLITE)
            return false;
        l->out = (pe_output_s8){p->y_zero_point, p->y_min, p->y_max};
        l->min = p->f_min;
        l->max = p->f_max;
    }
    const size_t pixel = (size_t)c_in * tiles->element;
    if (h.taps == 1 && v.taps == 1 && h.stride == 1 && v.stride == 1 && h.pad == 0 && v.pad == 0 && h.in == h.out &&
        v.in == v.out && (c_in % tiles->reach == 0 || x->bytes <= BAND_BYTES)) { /* a product: one row of pixels */
        v.in = v.out = images * h.in * v.in;
        h.in = h.out = images = 1;
    }
    if (h.taps == 1)
        h.dilation = 1;
    const int64_t last = (int64_t)(v.out - 1) * v.stride + v.taps - v.pad; /* columns of x, and of padding behind */
    const int32_t body = last < 0 ? 0 : last < v.in ? (int32_t)last : v.in;
    l->x = x->offset;
    l->y = y->offset;
    l->x_image = (size_t)h.in * (size_t)v.in * pixel;
    l->y_image = (size_t)h.out * (size_t)v.out * (size_t)c_out * tiles->element;
    l->images = images;
    l->rows = h.out;
    l->cols = v.out;
    l->stride = h.stride;
    l->pad = h.pad;
    l->taps = h.taps;
    l->window_row = (size_t)v.taps * (size_t)c_in;
    l->gathered = l->element == 1 && l->taps > 1 && l->window_row < GATHER;
    l->elements = l->gathered ? (size_t)l->taps * l->window_row : l->window_row;
    l->elements = (l->elements + tiles->pad - 1) / tiles->pad * tiles->pad;
    l->pixel = (size_t)v.stride * pixel;
    l->channels = (uint32_t)c_out;
    l->nr = tiles->nr;
    l->blocks = (l->channels + l->nr - 1) / l->nr;
    if (!choose(tiles->row, (size_t)l->cols))
        return false;
    l->half = (l->channels - 1) % l->nr < l->nr / 2 && choose(tiles->half, (size_t)l->cols);
    l->split = images * l->rows >= MANY_ROWS ? SPLIT_ROWS : l->cols >= MANY_COLS ? SPLIT_COLS : SPLIT_BLOCKS;
    if ((uint64_t)images * (uint64_t)l->rows * (uint64_t)l->cols * (w->bytes / tiles->element) >= PE_MACS_TO_SPLIT)
        bytes->part = run_part;
    /* Rows that no window reads lie between those of a window with one tap: they are not staged. */
    l->stage = (pe_neon_stage){
        .rows = h.in,
        .step = h.taps == 1 ? h.stride : 1,
        .row_bytes = (size_t)v.in * pixel,
        .left = (size_t)v.pad * pixel,
        .right = last > body ? (size_t)(last - body) * pixel : 0,
        .body = (size_t)body * pixel,
        .fill = (uint8_t)x_zero_point,
    };
    l->direct = pe_axis_inside(&h) && pe_axis_inside(&v) && l->window_row % tiles->reach == 0 && !l->gathered;
    l->band = h.out;
    if (l->direct) {
        l->staged_stride = h.stride;
        l->staged_taps = h.dilation;
    } else {
        const size_t stride = pe_neon_stage_stride(&l->stage);
        l->staged_stride = h.taps == 1 ? 1 : h.stride;
        l->staged_taps = h.dilation;
        while (l->band > 1 && (size_t)staged_rows(l, l->band) * stride > BAND_BYTES)
            l->band = (l->band + 1) / 2;
        l->gather_at = ALIGN((size_t)staged_rows(l, l->band) * stride + SLACK);
        bytes->work = l->gather_at;
        if (l->gathered) {
            const size_t most = BAND_BYTES / ((size_t)l->cols * l->elements);
            l->gather_rows = most < 1 ? 1 : most < (size_t)l->band ? (int32_t)most : l->band;
            bytes->work += (size_t)l->gather_rows * (size_t)l->cols * l->elements + SLACK;
        }
    }
    l->block_constants = is_float ? l->nr * sizeof(float) : sizeof(pe_neon_rq);
    l->weights = ALIGN(l->blocks * l->block_constants);
    l->block_weights = (l->gathered ? 1 : (size_t)l->taps) * l->elements * l->nr * l->element;
    const size_t constants = l->weights + l->blocks * l->block_weights;
    bytes->packed = ALIGN(sizeof *l) + (learns ? 0 : constants);
    l->work_constants = ALIGN(bytes->work);
    bytes->work = l->work_constants + (learns ? constants : 0);
    return bytes->work <= WORK_BYTES;
}

bool pe_neon_conv_takes(const pe_call *c, const pe_neon_tiles *tiles, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, tiles, &l, bytes);
}

/* Bias and weights of floats of blocks first .. end - 1, as tiles take them. */
static void pack_f32(const layer *l, const float *w, const float *bias, uint32_t first, uint32_t end, uint8_t *to)
{
    const size_t row = l->window_row, step = l->gathered ? row : l->elements, window = (size_t)l->taps * row;
    for (uint32_t b = first; b < end; b++) {
        const size_t channel = (size_t)b * l->nr, left = l->channels - channel, n = left < l->nr ? left : l->nr;
        const size_t nr = l->half && b == l->blocks - 1 ? l->nr / 2 : l->nr;
        float *const start = (float *)(void *)(to + b * l->block_constants);
        float *const weights = (float *)(void *)(to + l->weights + b * l->block_weights);
        for (size_t i = 0; i < l->nr; i++)
            start[i] = bias && i < n ? bias[channel + i] : 0;
        if (n < nr || window * nr * sizeof *w < l->block_weights)
            __builtin_memset(weights, 0, l->block_weights);
        for (size_t t = 0; t < (size_t)l->taps; t++)
            pe_neon_pack_f32(weights + t * step * nr, nr, w + channel * window + t * row, window, n, row);
    }
}

static void pack_s8(layer *l, const pe_call *c, uint8_t *to)
{
    const int8_t *w = c->data[1];
    const pe_channel *q = c->data[2];
    const size_t kr = l->tiles->kr;
    l->form = pe_neon_form_of(q, l->channels, &l->out);
    for (size_t channel = 0; channel < l->channels; channel++) {
        const size_t block = channel / l->nr, lane = channel % l->nr;
        const size_t nr = l->half && block == l->blocks - 1 ? l->nr / 2 : l->nr;
        uint8_t *weights = to + l->weights + block * l->block_weights;
        pe_neon_rq_set((void *)(to + block * l->block_constants), lane, q + channel);
        for (size_t t = 0; t < (size_t)l->taps; t++)
            for (size_t k = 0; k < l->window_row; k++) {
                const size_t at = t * (l->gathered ? l->window_row : l->elements) + k;
                weights[(at / kr * nr + lane) * kr + at % kr] = (uint8_t)*w++;
            }
    }
}

void pe_neon_conv_pack(const pe_call *c, const pe_neon_tiles *tiles, void *packed)
{
    layer *l = packed;
    pe_layer_bytes bytes = {0};
    describe(c, tiles, l, &bytes);
    uint8_t *to = packed;
    __builtin_memset(to + sizeof *l, 0, bytes.packed - sizeof *l);
    if (l->element == 1)
        pack_s8(l, c, to + ALIGN(sizeof *l));
    else if (!l->learns)
        pack_f32(l, c->data[1], l->has_bias ? c->data[2] : NULL, 0, l->blocks, to + ALIGN(sizeof *l));
}

/* What is to be done of a layer: from the first to before the last. Rows of y in one image. */
typedef struct range {
    int32_t row, row_end, col, col_end;
    uint32_t block, block_end;
    const uint8_t *constants; /* of all blocks, and their weights */
} range;

/* Copies the windows of a row of y, each rounded up to `elements`. Rows of GATHER bytes are copied: the next one takes what
 * was too much. */
PE_INLINE void gather_taps(const layer *l, const uint8_t *x, size_t row, size_t pixels, uint8_t *to, size_t taps)
{
    const size_t window_row = l->window_row, step = l->pixel, elements = l->elements;
    for (; pixels; pixels--, x += step, to += elements)
        for (size_t t = 0; t < taps; t++)
            vst1q_u8(to + t * window_row, vld1q_u8(x + t * row));
}

static void gather(const layer *l, const uint8_t *x, size_t row, size_t pixels, uint8_t *to)
{
    if (l->taps == 3)
        gather_taps(l, x, row, pixels, to, 3);
    else
        gather_taps(l, x, row, pixels, to, (size_t)l->taps);
}

/* Rows of y, `pixels` in each, by the blocks of r. x: the first window; taps, step, next: bytes from one row of a window, window, row of
 * windows to the next. */
static void run_tiles(const layer *l, const range *r, const uint8_t *x, size_t taps, size_t step, size_t next,
                      uint8_t *y, int32_t rows, size_t pixels)
{
    pe_neon_row_fn *const whole = choose(l->tiles->row, pixels);
    pe_neon_row_fn *const half = l->half ? choose(l->tiles->half, pixels) : whole;
    pe_neon_conv_job j = {
        .taps = l->gathered ? 1 : (size_t)l->taps,
        .elements = l->elements,
        .row = taps,
        .rows = (size_t)rows,
        .next = next,
        .y_row = (size_t)l->cols * l->channels,
        .weights_step = l->block_weights,
        .constants_step = l->block_constants,
        .nr = l->nr,
        .stride = l->channels,
        .form = l->form,
        .out = l->out,
        .min = l->min,
        .max = l->max,
    };
    const uint32_t wholes = l->half ? l->blocks - 1 : l->blocks;
    for (uint32_t b = r->block; b < r->block_end; b += (uint32_t)j.blocks) {
        const uint32_t end = b < wholes && wholes < r->block_end ? wholes : r->block_end;
        j.blocks = end - b;
        j.channels = l->channels - b * l->nr;
        j.weights = r->constants + l->weights + b * l->block_weights;
        j.constants = r->constants + b * l->block_constants;
        (b < wholes ? whole : half)(&j, x, step, y + b * l->nr * l->element, pixels);
    }
}

/* Rows of y whose windows lie in `from`, the first one's in its first row. row: bytes from one row of it to the next. */
static void run_rows(const layer *l, const range *r, const uint8_t *from, size_t row, uint8_t *y, uint8_t *work)
{
    const size_t taps = (size_t)l->staged_taps * row, next = (size_t)l->staged_stride * row;
    const size_t cols = (size_t)(r->col_end - r->col), y_pixel = (size_t)l->channels * l->element;
    y += ((size_t)r->row * (size_t)l->cols + (size_t)r->col) * y_pixel;
    from += (size_t)r->col * l->pixel;
    if (!l->gathered) {
        run_tiles(l, r, from, taps, l->pixel, next, y, r->row_end - r->row, cols);
        return;
    }
    /* Gathered rows lie next to each other, as those of y: they are one. */
    const int32_t most = cols == (size_t)l->cols ? l->gather_rows : 1;
    uint8_t *windows = work + l->gather_at;
    for (int32_t rows, i = r->row; i < r->row_end; i += rows, from += (size_t)rows * next) {
        rows = r->row_end - i < most ? r->row_end - i : most;
        for (size_t k = 0; k < (size_t)rows; k++)
            gather(l, from + k * next, taps, cols, windows + k * cols * l->elements);
        run_tiles(l, r, windows, 0, l->elements, 0, y, 1, (size_t)rows * cols);
        y += (size_t)rows * (size_t)l->cols * y_pixel;
    }
}

static void run_image(const layer *l, const range *r, const uint8_t *x, uint8_t *y, uint8_t *work)
{
    if (l->direct) {
        const size_t row = l->stage.row_bytes;
        run_rows(l, r, x + (size_t)(r->row * l->staged_stride) * row, row, y, work);
        return;
    }
    range band = *r;
    for (; band.row < r->row_end; band.row = band.row_end) {
        band.row_end = r->row_end - band.row < l->band ? r->row_end : band.row + l->band;
        const int32_t rows = staged_rows(l, band.row_end - band.row);
        pe_neon_stage_rows(&l->stage, x, band.row * l->stride - l->pad, rows, work);
        run_rows(l, &band, work, pe_neon_stage_stride(&l->stage), y, work);
    }
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    const layer *l = packed;
    range all = {0, l->images * l->rows, 0, l->cols, 0, l->blocks, (const uint8_t *)packed + ALIGN(sizeof *l)};
    switch (l->split) {
    case SPLIT_ROWS:
        all.row = pe_share(all.row_end, part, parts);
        all.row_end = pe_share(all.row_end, part + 1, parts);
        break;
    case SPLIT_COLS: /* enough for any tile, or none */
        all.col = PE_NEON_MR * pe_share(l->cols / PE_NEON_MR, part, parts);
        all.col_end = part + 1 == parts ? l->cols : PE_NEON_MR * pe_share(l->cols / PE_NEON_MR, part + 1, parts);
        break;
    case SPLIT_BLOCKS:
        all.block = (uint32_t)pe_share((int32_t)l->blocks, part, parts);
        all.block_end = (uint32_t)pe_share((int32_t)l->blocks, part + 1, parts);
        break;
    }
    if (all.col == all.col_end || all.block == all.block_end)
        return;
    if (l->learns) {
        const float *bias = l->has_bias ? pe_place_at(&l->bias_place, arena) : NULL;
        pack_f32(l, pe_place_at(&l->w_place, arena), bias, all.block, all.block_end, work + l->work_constants);
        all.constants = work + l->work_constants;
    }
    while (all.row < all.row_end) {
        const int32_t n = all.row / l->rows, first = n * l->rows;
        range image = all;
        image.row -= first;
        image.row_end = all.row_end - first < l->rows ? all.row_end - first : l->rows;
        run_image(l, &image, arena + l->x + (size_t)n * l->x_image, arena + l->y + (size_t)n * l->y_image, work);
        all.row = first + image.row_end;
    }
}

void pe_neon_conv_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}
