#include "kernels/neon/depthwise.h"

#include "kernels/neon/stage.h"
#include "ops/window.h"

#define BAND_BYTES 16384      /* staged rows at once, if that is more than one row of y needs */
#define WORK_BYTES (16 << 20) /* staged rows at most */
#define SLACK 64              /* bytes behind the staged rows that lanes without a channel read */
#define ALIGN(n) (((n) + 63) / 64 * 64)

typedef struct layer {
    size_t x, y; /* in the arena */
    size_t x_image, y_image;
    int32_t images, rows; /* of y */
    int32_t band;         /* rows of y */
    int32_t stride, dilation, pad, kh;
    uint32_t channels;
    uint8_t x_element, w_element, y_element; /* bytes */
    bool y_is_f16;
    uint32_t blocks;   /* of 16 lanes */
    uint32_t together; /* neighbours that count as one pixel */
    size_t full, rest; /* pixels of a row of y; neighbours behind the last of them */
    size_t taps, pixel;
    size_t offsets, constants, block_constants, weights, block_weights; /* from the start of the layer; bytes */
    pe_neon_dw_fn *row, *one;
    pe_neon_form form;
    pe_neon_stage stage;
    pe_output_s8 out;
    float min, max;
} layer;

static uint8_t bytes_of(uint8_t dtype)
{
    return dtype == PE_S8 ? 1 : dtype == PE_F16 ? 2 : 4;
}

static int32_t staged_rows(const layer *l, int32_t n)
{
    return (n - 1) * l->stride + (l->kh - 1) * l->dilation + 1;
}

/* The row function for n pixels: with the fewest pixels in its tiles, those done twice and one for each tile counted. */
static pe_neon_dw_fn *choose(const pe_neon_dw_tiles *tiles, size_t n)
{
    size_t best = 1, least = SIZE_MAX;
    for (size_t mr = 1; mr <= PE_NEON_DW_PIXELS && mr <= n; mr++) {
        const size_t cost = ((n - 1) / mr + 1) * (mr + 1);
        if (cost <= least) {
            best = mr;
            least = cost;
        }
    }
    return tiles->row[best];
}

static pe_layer_part_fn run_part;

/* Fills *l but for row functions. False: not a case of these kernels. */
static bool describe(const pe_call *c, layer *l, pe_layer_bytes *bytes)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[c->inputs];
    const pe_tensor *q = c->inputs > 2 ? c->tensor[2] : NULL;
    const pe_axis h = pe_axis_h(p, x, y, w->dims[0]), v = pe_axis_w(p, x, y, w->dims[1]);
    if (!pe_in_arena(x) || pe_in_arena(w) || (q && pe_in_arena(q)) || x->dims[3] != y->dims[3])
        return false;
    const uint32_t channels = (uint32_t)x->dims[3];
    const uint8_t x_element = bytes_of(x->dtype), w_element = bytes_of(w->dtype), y_element = bytes_of(y->dtype);
    const size_t pixel = (size_t)channels * x_element, cols = (size_t)v.out;
    const bool is_flat = v.stride == 1 && PE_NEON_LANES % channels == 0;
    const int64_t last = (int64_t)(v.out - 1) * v.stride + (int64_t)(v.taps - 1) * v.dilation + 1 - v.pad;
    const int32_t body = last < 0 ? 0 : last < v.in ? (int32_t)last : v.in;
    *l = (layer){
        .x = x->offset,
        .y = y->offset,
        .x_image = (size_t)h.in * (size_t)v.in * pixel,
        .y_image = (size_t)h.out * cols * channels * y_element,
        .images = x->dims[0],
        .rows = h.out,
        .band = h.out,
        .stride = h.stride,
        .dilation = h.dilation,
        .pad = h.pad,
        .kh = h.taps,
        .channels = channels,
        .x_element = x_element,
        .w_element = w_element,
        .y_element = y_element,
        .y_is_f16 = y->dtype == PE_F16,
        .blocks = is_flat ? 1 : (channels + PE_NEON_LANES - 1) / PE_NEON_LANES,
        .together = is_flat ? PE_NEON_LANES / channels : 1,
        .taps = (size_t)h.taps * (size_t)v.taps,
        .stage = {.rows = h.in,
                  .step = 1,
                  .row_bytes = (size_t)v.in * pixel,
                  .left = (size_t)v.pad * pixel,
                  .right = last > body ? (size_t)(last - body) * pixel : 0,
                  .body = (size_t)body * pixel,
                  .fill = x->dtype == PE_S8 ? (uint8_t)p->x_zero_point : 0},
        .out = {p->y_zero_point, p->y_min, p->y_max},
        .min = p->f_min,
        .max = p->f_max,
    };
    l->pixel = (size_t)v.stride * l->together * pixel;
    l->full = cols / l->together;
    l->rest = cols % l->together;
    if ((uint64_t)l->images * (uint64_t)l->rows * cols * (w->bytes / w_element) >= PE_MACS_TO_SPLIT)
        bytes->part = run_part;
    const size_t stride = pe_neon_stage_stride(&l->stage);
    while (l->band > 1 && (size_t)staged_rows(l, l->band) * stride > BAND_BYTES)
        l->band = (l->band + 1) / 2;
    bytes->work = (size_t)staged_rows(l, l->band) * stride + SLACK;
    l->offsets = ALIGN(sizeof *l);
    l->constants = ALIGN(l->offsets + l->taps * sizeof(size_t));
    l->block_constants = x->dtype == PE_S8 ? sizeof(pe_neon_rq) : PE_NEON_LANES * sizeof(float);
    l->weights = l->constants + l->blocks * l->block_constants;
    l->block_weights = l->taps * PE_NEON_LANES * w_element;
    bytes->packed = l->weights + l->blocks * l->block_weights;
    return bytes->work <= WORK_BYTES;
}

bool pe_neon_dw_takes(const pe_call *c, pe_layer_bytes *bytes)
{
    layer l;
    return describe(c, &l, bytes);
}

void pe_neon_dw_pack(const pe_call *c, const pe_neon_dw_tiles *tiles, void *packed)
{
    layer *l = packed;
    pe_layer_bytes bytes = {0};
    describe(c, l, &bytes);
    l->row = choose(tiles, l->full);
    l->one = tiles->row[1];
    uint8_t *to = packed;
    __builtin_memset(to + sizeof *l, 0, bytes.packed - sizeof *l);
    const pe_conv2d_params *p = c->params;
    const size_t kw = (size_t)c->tensor[1]->dims[1], taps = (size_t)c->tensor[1]->dims[0] * kw, element = l->w_element;
    const bool is_s8 = c->tensor[0]->dtype == PE_S8;
    const uint8_t *w = c->data[1];
    const void *q = c->inputs > 2 && c->tensor[2] ? c->data[2] : NULL;
    size_t *offset = (void *)(to + l->offsets);
    for (size_t t = 0; t < taps; t++)
        offset[t] = t / kw * (size_t)l->dilation * pe_neon_stage_stride(&l->stage) +
                    t % kw * (size_t)p->dilation_w * l->channels * l->x_element;
    if (is_s8)
        l->form = pe_neon_form_of(q, l->channels, &l->out);
    for (size_t block = 0; block < l->blocks; block++)
        for (size_t lane = 0; lane < PE_NEON_LANES; lane++) {
            const size_t channel = l->together > 1 ? lane % l->channels : block * PE_NEON_LANES + lane;
            uint8_t *constants = to + l->constants + block * l->block_constants;
            uint8_t *weights = to + l->weights + block * l->block_weights + lane * element;
            if (channel >= l->channels)
                break;
            if (is_s8)
                pe_neon_rq_set((void *)constants, lane, (const pe_channel *)q + channel);
            else if (q)
                ((float *)(void *)constants)[lane] = ((const float *)q)[channel];
            for (size_t t = 0; t < taps; t++)
                __builtin_memcpy(weights + t * PE_NEON_LANES * element, w + (t * l->channels + channel) * element,
                                 element);
        }
}

static void run_rows(const layer *l, int32_t rows, const uint8_t *staged, uint8_t *y)
{
    const size_t stride = pe_neon_stage_stride(&l->stage), x_block = PE_NEON_LANES * l->x_element,
                 y_block = PE_NEON_LANES * l->y_element;
    const size_t width = (size_t)l->together * l->channels;
    const size_t y_row = (l->full * width + l->rest * l->channels) * l->y_element;
    pe_neon_dw_job j = {
        .taps = l->taps,
        .offset = (const void *)((const uint8_t *)l + l->offsets),
        .pixel = l->pixel,
        .stride = width * l->y_element,
        .form = l->form,
        .out = l->out,
        .min = l->min,
        .max = l->max,
        .y_is_f16 = l->y_is_f16,
    };
    for (uint32_t b = 0; b < l->blocks; b++, staged += x_block, y += y_block) {
        const size_t left = width - b * PE_NEON_LANES;
        j.weights = (const uint8_t *)l + l->weights + b * l->block_weights;
        j.constants = (const uint8_t *)l + l->constants + b * l->block_constants;
        for (int32_t r = 0; r < rows; r++) {
            const uint8_t *x = staged + (size_t)(r * l->stride) * stride;
            uint8_t *to = y + (size_t)r * y_row;
            j.lanes = left < PE_NEON_LANES ? left : PE_NEON_LANES;
            if (l->full)
                l->row(&j, x, to, l->full);
            j.lanes = l->rest * l->channels;
            if (l->rest)
                l->one(&j, x + l->full * l->pixel, to + l->full * j.stride, 1);
        }
    }
}

static void run_part(const void *packed, uint8_t *arena, uint8_t *work, uint32_t part, uint32_t parts)
{
    const layer *l = packed;
    const size_t y_row = l->y_image / (size_t)l->rows;
    const int32_t total = l->images * l->rows, end = pe_share(total, part + 1, parts);
    for (int32_t rows, at = pe_share(total, part, parts); at < end; at += rows) {
        const int32_t n = at / l->rows, r = at % l->rows;
        rows = l->rows - r < end - at ? l->rows - r : end - at;
        rows = rows < l->band ? rows : l->band;
        pe_neon_stage_rows(&l->stage, arena + l->x + (size_t)n * l->x_image, r * l->stride - l->pad,
                           staged_rows(l, rows), work);
        run_rows(l, rows, work, arena + l->y + (size_t)at * y_row);
    }
}

void pe_neon_dw_run(const void *packed, uint8_t *arena, uint8_t *work)
{
    run_part(packed, arena, work, 0, 1);
}
