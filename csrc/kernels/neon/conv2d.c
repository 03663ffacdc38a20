#include "kernels/neon/conv2d.h"

#include "kernels/neon/stage.h"
#include "ops/window.h"

#define BAND_BYTES 16384      /* staged rows at once, if that is more than one row of y needs */
#define WORK_BYTES (16 << 20) /* staged rows at most: padding or dilation that dwarfs the image is not worth it */
#define SLACK 16              /* bytes behind the staged rows that are read into products with zero weights */
#define ALIGN(n) (((n) + 63) / 64 * 64)

typedef struct layer {
    size_t x, y; /* in the arena */
    size_t x_image, y_image;
    int32_t images, rows, cols;         /* of y */
    int32_t band;                       /* rows of y; all of them where x is read where it lies */
    int32_t stride, pad, taps;          /* along a column of x */
    int32_t staged_stride, staged_taps; /* staged rows from one row of y to the next, and from tap to tap */
    bool direct;                        /* x is read where it lies */
    size_t window_row, elements;        /* of a row of a window; with its padding */
    size_t pixel;                       /* staged bytes from one pixel of y to the next */
    uint32_t channels, blocks, nr, element;
    size_t constants, block_constants; /* offset from the start of the layer; bytes of a block */
    size_t weights, block_weights;
    pe_neon_tile_fn *tile;
    int32_t mr;
    pe_neon_stage stage;
    pe_output_s8 out;
    float min, max;
} layer;

/* Rows of x that n rows of y need. */
static int32_t staged_rows(const layer *l, int32_t n)
{
    return (n - 1) * l->staged_stride + (l->taps - 1) * l->staged_taps + 1;
}

/* The tile for n pixels in a row: the smallest that needs as few as the largest would. */
static void choose(layer *l, const pe_neon_tiles *tiles)
{
    int32_t most = 0, wanted;
    for (int32_t i = 1; i <= PE_NEON_MR && i <= l->cols; i++)
        most = tiles->tile[i] ? i : most;
    wanted = (l->cols - 1) / ((l->cols - 1) / most + 1) + 1;
    while (!tiles->tile[wanted])
        wanted++;
    l->mr = wanted;
    l->tile = tiles->tile[wanted];
}

/* Fills *l. False: not a case of these kernels. */
static bool describe(const pe_call *c, const pe_neon_tiles *tiles, layer *l, pe_layer_bytes *bytes)
{
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    const bool is_conv = w->rank == 4, is_float = x->dtype == PE_F32;
    const pe_tensor *q = c->inputs > 2 ? c->tensor[2] : NULL;
    if (!pe_in_arena(x) || pe_in_arena(w) || (q && pe_in_arena(q)))
        return false;
    *l = (layer){0};
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
    if (h.taps == 1 && v.taps == 1 && h.stride == 1 && v.stride == 1 && h.pad == 0 && v.pad == 0 && h.in == h.out &&
        v.in == v.out) { /* a product: one row of pixels */
        v.in = v.out = images * h.in * v.in;
        h.in = h.out = images = 1;
    }
    if (h.taps == 1)
        h.dilation = 1;
    const size_t pixel = (size_t)c_in * tiles->element;
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
    l->elements = (l->window_row + tiles->pad - 1) / tiles->pad * tiles->pad;
    l->pixel = (size_t)v.stride * pixel;
    l->channels = (uint32_t)c_out;
    l->element = tiles->element;
    l->nr = tiles->nr;
    l->blocks = (l->channels + l->nr - 1) / l->nr;
    choose(l, tiles);
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
    l->direct = pe_axis_inside(&h) && pe_axis_inside(&v) && l->elements == l->window_row;
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
        bytes->work = (size_t)staged_rows(l, l->band) * stride + SLACK;
    }
    l->constants = ALIGN(sizeof *l);
    l->block_constants = is_float ? l->nr * sizeof(float) : sizeof(pe_neon_rq);
    l->weights = ALIGN(l->constants + l->blocks * l->block_constants);
    l->block_weights = (size_t)l->taps * l->elements * l->nr * l->element;
    bytes->packed = l->weights + l->blocks * l->block_weights;
    return bytes->work <= WORK_BYTES;
}

bool pe_neon_conv_takes(const pe_call *c, const pe_neon_tiles *tiles, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, tiles, &l, bytes);
}

void pe_neon_conv_pack(const pe_call *c, const pe_neon_tiles *tiles, void *packed)
{
    layer *l = packed;
    pe_layer_bytes bytes = {0};
    describe(c, tiles, l, &bytes);
    uint8_t *to = packed;
    __builtin_memset(to + sizeof *l, 0, bytes.packed - sizeof *l);
    const uint8_t *w = c->data[1];
    const void *q = c->inputs > 2 && c->tensor[2] ? c->data[2] : NULL;
    const size_t kr = tiles->kr, element = l->element;
    for (size_t channel = 0; channel < l->channels; channel++) {
        const size_t block = channel / l->nr, lane = channel % l->nr;
        uint8_t *constants = to + l->constants + block * l->block_constants;
        uint8_t *weights = to + l->weights + block * l->block_weights;
        if (element == 1)
            pe_neon_rq_set((void *)constants, lane, (const pe_channel *)q + channel);
        else if (q)
            ((float *)(void *)constants)[lane] = ((const float *)q)[channel];
        for (size_t t = 0; t < (size_t)l->taps; t++)
            for (size_t k = 0; k < l->window_row; k++, w += element) {
                const size_t step = t * (l->elements / kr) + k / kr;
                __builtin_memcpy(weights + ((step * l->nr + lane) * kr + k % kr) * element, w, element);
            }
    }
}

/* Rows of y by all blocks. x: the first row of the first window; row: bytes from one row of x to the next. */
static void run_rows(const layer *l, int32_t rows, const uint8_t *x, size_t row, uint8_t *y)
{
    const size_t y_pixel = (size_t)l->channels * l->element, y_row = (size_t)l->cols * y_pixel;
    for (uint32_t b = 0; b < l->blocks; b++, y += l->nr * l->element) {
        const uint32_t first = b * l->nr;
        const pe_neon_conv_job j = {
            .weights = (const uint8_t *)l + l->weights + b * l->block_weights,
            .taps = (size_t)l->taps,
            .elements = l->elements,
            .row = (size_t)l->staged_taps * row,
            .constants = (const uint8_t *)l + l->constants + b * l->block_constants,
            .channels = l->channels - first < l->nr ? l->channels - first : l->nr,
            .stride = l->channels,
            .out = l->out,
            .min = l->min,
            .max = l->max,
        };
        for (int32_t r = 0; r < rows; r++) {
            const uint8_t *from = x + (size_t)(r * l->staged_stride) * row;
            uint8_t *to = y + (size_t)r * y_row;
            for (int32_t done = 0;;) {
                l->tile(&j, from + (size_t)done * l->pixel, l->pixel, to + (size_t)done * y_pixel);
                done += l->mr;
                if (done == l->cols)
                    break;
                if (l->cols - done < l->mr) /* the last tile goes back over pixels that are done */
                    done = l->cols - l->mr;
            }
        }
    }
}

void pe_neon_conv_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const layer *l = packed;
    const uint8_t *x = arena + l->x;
    uint8_t *y = arena + l->y;
    const size_t y_row = (size_t)l->cols * l->channels * l->element;
    for (int32_t n = 0; n < l->images; n++, x += l->x_image, y += l->y_image) {
        if (l->direct) {
            run_rows(l, l->rows, x, l->stage.row_bytes, y);
            continue;
        }
        for (int32_t r = 0; r < l->rows; r += l->band) {
            const int32_t rows = l->rows - r < l->band ? l->rows - r : l->band;
            pe_neon_stage_rows(&l->stage, x, r * l->stride - l->pad, staged_rows(l, rows), work);
            run_rows(l, rows, work, pe_neon_stage_stride(&l->stage), y + (size_t)r * y_row);
        }
    }
}
