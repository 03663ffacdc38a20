#include "kernels/mve/mve.h"
#include "ops/window.h"

/* depthwise_s8, 16 channels at a time, by blocks of 4 x 4 taps: rows of x, with their padding as values, are interleaved to words
 * of four rows, so that a load of four words, columns of one channel, is a block of taps for one VMLADAV. The weights are
 * interleaved the same way, with zeros where a block has no tap. A row of windows lies along the longer side of y. */

enum { CHANNELS = 16, COLUMN = 4 * CHANNELS, BLOCK = 4 * COLUMN, MOST_BLOCKS = 16 };

/* One side of the image. Steps in bytes, of one position in x, y and w. */
typedef struct side {
    pe_axis axis;
    uint32_t x, y, w;
} side;

typedef struct layout {
    side across, along;        /* from row to row of windows, and within one */
    uint32_t groups, blocks;   /* of four rows of taps; of 4 x 4 taps */
    uint32_t rows;             /* of y from one interleaving: the four rows of x hold their windows */
    uint32_t windows, columns; /* at a time, and what they cover of x */
    uint32_t at[MOST_BLOCKS];  /* offset of each block in the planes */
    int8_t *planes, *weights;  /* [groups][columns][CHANNELS][4], [rows][blocks][4][CHANNELS][4] */
    int32_t *sums;
} layout;

static bool plan(const pe_call *c, layout *l)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    const uint32_t channels = (uint32_t)x->dims[3];
    l->across = (side){pe_axis_h(p, x, y, w->dims[0]), (uint32_t)x->dims[2] * channels, (uint32_t)y->dims[2] * channels,
                       (uint32_t)w->dims[1] * channels};
    l->along = (side){pe_axis_w(p, x, y, w->dims[1]), channels, channels, channels};
    if (l->across.axis.out > l->along.axis.out) {
        const side swapped = l->across;
        l->across = l->along;
        l->along = swapped;
    }
    const pe_axis *h = &l->across.axis, *v = &l->along.axis;
    const uint64_t groups = ((uint64_t)h->taps + 3) / 4, of_a_group = ((uint64_t)v->taps + 3) / 4;
    if (groups > MOST_BLOCKS || of_a_group > MOST_BLOCKS || groups * of_a_group > MOST_BLOCKS)
        return false;
    l->groups = (uint32_t)groups;
    l->blocks = (uint32_t)(groups * of_a_group);
    l->rows = h->taps < 4 && h->stride == 1 && h->dilation == 1 ? (uint32_t)(5 - h->taps) : 1;
    l->rows = l->rows < (uint32_t)h->out ? l->rows : (uint32_t)h->out;
    /* As many windows as scratch has room for. Columns of the last block that are no taps are read, too, behind the planes. */
    const uint64_t stride = (uint64_t)v->stride, dilation = (uint64_t)v->dilation, taps = (uint64_t)v->taps;
    const uint64_t weights = (uint64_t)BLOCK * l->rows * l->blocks, read = COLUMN * (4 * of_a_group - taps) * dilation;
    const uint64_t fixed = COLUMN * groups * ((taps - 1) * dilation + 1) + (weights > read ? weights : read);
    const uint64_t each = COLUMN * groups * stride + 4 * sizeof *l->sums,
                   bytes = c->scratch_bytes + COLUMN * groups * stride;
    if (bytes < fixed + each)
        return false;
    const uint64_t fit = (bytes - fixed) / each;
    l->windows = fit < (uint64_t)v->out ? (uint32_t)fit : (uint32_t)v->out;
    l->columns = (uint32_t)((l->windows - 1) * stride + (taps - 1) * dilation + 1);
    l->planes = c->scratch;
    l->weights = l->planes + (size_t)COLUMN * l->groups * l->columns;
    l->sums = (int32_t *)(void *)(l->weights + weights);
    for (uint32_t i = 0; i < l->blocks; i++)
        l->at[i] = COLUMN * (i / (uint32_t)of_a_group * l->columns + i % (uint32_t)of_a_group * 4 * (uint32_t)dilation);
    return true;
}

/* The weights of some channels; w: those of the first. For row r of y, they are r rows further down. */
static void interleave_weights(const layout *l, const int8_t *w, uint32_t channels)
{
    static const int8_t zeros[CHANNELS] = {0};
    const uint32_t of_a_group = l->blocks / l->groups;
    const int32_t taps_across = l->across.axis.taps;
    int8_t *to = l->weights;
    for (uint32_t r = 0; r < l->rows; r++)
        for (uint32_t i = 0; i < l->blocks; i++, to += BLOCK) {
            const uint32_t column = i % of_a_group * 4, left = (uint32_t)l->along.axis.taps - column;
            const uint32_t columns = left < 4 ? left : 4;
            pe_mve_quad rows;
            for (uint32_t k = 0; k < 4; k++) {
                const int32_t tap = (int32_t)(i / of_a_group * 4 + k) - (int32_t)r;
                const bool is_tap = tap >= 0 && tap < taps_across;
                rows.row[k] = is_tap ? w + (uint32_t)tap * l->across.w + column * l->along.w : zeros;
                rows.step[k] = is_tap ? l->along.w : 0;
            }
            pe_mve_interleave(&rows, columns, channels, to);
            pe_mve_fill(to + columns * COLUMN, 0, (4 - columns) * COLUMN);
        }
}

/* The rows of x that windows from (row, column) of y on cover, columns of them; x: of the first channel. */
static void interleave_rows(const layout *l, const int8_t *x, int32_t row, int32_t column, uint32_t columns,
                            uint32_t channels, int8_t zero_point)
{
    const pe_axis *h = &l->across.axis, *v = &l->along.axis;
    const int32_t first = row * h->stride - h->pad, x0 = column * v->stride - v->pad, width = (int32_t)columns;
    const int32_t before = x0 < 0 ? -x0 < width ? -x0 : width : 0;
    const int32_t past = v->in - x0, end = past < before ? before : past < width ? past : width;
    int8_t fill[CHANNELS];
    pe_mve_fill(fill, zero_point, CHANNELS);
    for (uint32_t group = 0; group < l->groups; group++) {
        int8_t *to = l->planes + (size_t)COLUMN * group * l->columns;
        pe_mve_quad rows;
        for (int32_t k = 0; k < 4; k++) {
            const int32_t tap = (int32_t)group * 4 + k, at = first + tap * h->dilation;
            const bool in = tap < h->taps + (int32_t)l->rows - 1 && at >= 0 && at < h->in && end > before;
            rows.row[k] = in ? x + (uint32_t)at * l->across.x + (uint32_t)(x0 + before) * l->along.x : fill;
            rows.step[k] = in ? l->along.x : 0;
        }
        pe_mve_fill(to, zero_point, (uint32_t)before * COLUMN);
        if (end > before)
            pe_mve_interleave(&rows, (uint32_t)(end - before), channels, to + (uint32_t)before * COLUMN);
        pe_mve_fill(to + (uint32_t)end * COLUMN, zero_point, (columns - (uint32_t)end) * COLUMN);
    }
}

bool pe_depthwise_s8__mve(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    const uint32_t channels = (uint32_t)x->dims[3], images = (uint32_t)x->dims[0];
    layout l;
    if (channels != (uint32_t)w->dims[2] || !pe_mve_all_short(c->data[2], channels) || !plan(c, &l))
        return false;
    const pe_axis *h = &l.across.axis, *v = &l.along.axis;
    pe_mve_depthwise t = {
        .x = l.planes,
        .sums = l.sums,
        .blocks = l.at,
        .block_count = l.blocks,
        .x_tap = COLUMN * (uint32_t)v->dilation,
        .x_step = COLUMN * (uint32_t)v->stride,
        .y_step = l.along.y,
        .zero_point = p->y_zero_point,
        .min = p->y_min,
        .max = p->y_max,
    };
    for (uint32_t first = 0; first < channels; first += CHANNELS) {
        t.channels = channels - first < CHANNELS ? channels - first : CHANNELS;
        t.q = (const pe_channel *)c->data[2] + first;
        interleave_weights(&l, (const int8_t *)c->data[1] + first, t.channels);
        for (uint32_t image = 0; image < images; image++) {
            const int8_t *from = (const int8_t *)c->data[0] + image * (x->bytes / images) + first;
            int8_t *to = (int8_t *)c->data[3] + image * (y->bytes / images) + first;
            for (uint32_t column = 0; column < (uint32_t)v->out; column += l.windows) {
                const uint32_t left = (uint32_t)v->out - column;
                t.n = left < l.windows ? left : l.windows;
                const uint32_t columns = l.columns - (l.windows - t.n) * (uint32_t)v->stride;
                for (uint32_t row = 0; row < (uint32_t)h->out; row += l.rows) {
                    interleave_rows(&l, from, (int32_t)row, (int32_t)column, columns, t.channels,
                                    (int8_t)p->x_zero_point);
                    for (uint32_t r = 0; r < l.rows && row + r < (uint32_t)h->out; r++) {
                        t.w = l.weights + (size_t)BLOCK * r * l.blocks;
                        t.y = to + (row + r) * l.across.y + column * l.along.y;
                        pe_mve_depthwise_s8(&t);
                    }
                }
            }
        }
    }
    return true;
}
