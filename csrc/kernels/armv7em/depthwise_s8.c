#include "kernels/armv7em/armv7em.h"
#include "ops/ops.h"
#include "ops/window.h"

/* depthwise_s8 by windows of 3 x 3 neighbours, in strides of 1 or 2 along one side of the image: the side that makes fewer
 * groups of four outputs. Four channels of some rows at a time are turned to planes of int16 in scratch, with the padding as
 * values; then each channel is one walk over its plane. */

enum { CHANNELS = 4, COLUMNS = 4, TAPS = 3 };

typedef struct layer {
    pe_axis rows, cols;     /* of planes: along the image's, or across */
    uint32_t x_row, x_col;  /* bytes of x, from pixel to pixel */
    uint32_t w_row, w_col;  /* of w, from tap to tap */
    uint32_t y_row, y_col;  /* of y */
    uint32_t plane_w, band; /* elements of a row of a plane; rows of y that a plane serves */
    uint32_t channels, multiplier;
    int16_t zero_point;
    pe_output_s8 out;
    const pe_channel *q;
    const int8_t *w;
    int16_t *planes;
} layer;

/* Windows of a channel that is not fast. */
static void compute_plain(const layer *l, const pe_armv7em_depthwise *t, const int8_t *w, const pe_channel *q)
{
    const int16_t *x = t->x;
    int8_t *y = t->y;
    for (uint32_t r = 0; r < t->rows; r++, x += t->step_row / 2, y += l->y_row)
        for (uint32_t c = 0; c < t->cols; c++) {
            const int16_t *const window = x + c * (uint32_t)l->cols.stride;
            uint32_t sum = (uint32_t)q->bias;
            for (uint32_t i = 0; i < TAPS; i++)
                for (uint32_t j = 0; j < TAPS; j++)
                    sum += (uint32_t)(window[i * l->plane_w + j] * w[i * l->w_row + j * l->w_col]);
            y[c * l->y_col] = pe_armv7em_output(sum, q, &l->out);
        }
}

/* A channel of y, in rows of which t tells the first. */
static void compute(const layer *l, pe_armv7em_depthwise *t, uint32_t channel)
{
    const pe_channel *const q = l->q + channel;
    const int8_t *w = l->w + channel;
    if (!pe_armv7em_is_fast(q)) {
        compute_plain(l, t, w, q);
        return;
    }
    for (uint32_t i = 0; i < TAPS; i++, w += l->w_row) {
        const int32_t w0 = w[0], w1 = w[l->w_col], w2 = w[2 * l->w_col];
        t->taps[i][0] = (uint16_t)w0 | (uint32_t)w1 << 16;
        t->taps[i][1] = (uint16_t)w1 | (uint32_t)w2 << 16;
    }
    t->bias = q->bias;
    t->twice = (uint32_t)q->a << 1;
    t->shift_less_1 = (uint32_t)q->b - 1;
    if (l->cols.stride == 1)
        pe_armv7em_depthwise1_s8(t);
    else
        pe_armv7em_depthwise2_s8(t);
    if (l->out.min != -128 || l->out.max != 127)
        for (uint32_t r = 0; r < t->rows; r++)
            for (uint32_t c = 0; c < t->cols; c++)
                pe_armv7em_clamp(t->y + r * l->y_row + c * l->y_col, 1, &l->out);
}

/* Rows first .. first + rows - 1 of y; x, y: an image. */
static void run_band(const layer *l, const int8_t *x, int8_t *y, int32_t first, int32_t rows)
{
    const int32_t above = first * l->rows.stride - l->rows.pad, height = (rows - 1) * l->rows.stride + TAPS;
    const int32_t top = above < 0 ? -above : 0, bottom = l->rows.in - above < height ? l->rows.in - above : height;
    const int32_t left = l->cols.pad, end = l->cols.in + left, width = (int32_t)l->plane_w;
    const int32_t right = end < width ? end : width;
    const uint32_t row_bytes = 2 * l->plane_w, plane_bytes = (uint32_t)height * row_bytes;
    pe_armv7em_planes planes = {
        .x_row = l->x_row,
        .x_col = l->x_col,
        .to_row = row_bytes,
        .plane = plane_bytes,
        .cols = (uint32_t)(right - left),
        .rows = (uint32_t)(bottom - top),
    };
    pe_armv7em_depthwise t = {
        .tap_row = row_bytes,
        .step_row = row_bytes * (uint32_t)l->rows.stride,
        .y_row = l->y_row,
        .cols = (uint32_t)l->cols.out,
        .rows = (uint32_t)rows,
        .offset = 2 * l->out.zero_point + 1,
        .y_col = l->y_col,
    };
    const uint32_t two = (uint16_t)l->zero_point * 0x10001u;
    uint32_t *word = (uint32_t *)(void *)l->planes;
    for (const uint32_t *stop = word + plane_bytes; word != stop; word++) /* CHANNELS planes */
        *word = two;
    for (uint32_t done = 0; done < l->channels;) {
        const uint32_t base = done + CHANNELS <= l->channels ? done : l->channels - CHANNELS;
        if (top < bottom && left < right) {
            planes.x = x + (above + top) * (int32_t)l->x_row + base;
            planes.to = l->planes + (uint32_t)top * l->plane_w + (uint32_t)left;
            pe_armv7em_planes_s8(&planes);
        }
        for (; done < base + CHANNELS; done++) {
            t.x = l->planes + (done - base) * (plane_bytes / 2);
            for (uint32_t channel = done * l->multiplier; channel < (done + 1) * l->multiplier; channel++) {
                t.y = y + (uint32_t)first * l->y_row + channel;
                compute(l, &t, channel);
            }
        }
    }
}

static uint32_t quads(const pe_axis *rows, const pe_axis *cols)
{
    return (uint32_t)rows->out * (((uint32_t)cols->out + COLUMNS - 1) / COLUMNS);
}

bool pe_depthwise_s8__armv7em(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    const pe_axis h = pe_axis_h(p, x, y, w->dims[0]), v = pe_axis_w(p, x, y, w->dims[1]);
    const uint32_t channels = (uint32_t)x->dims[3], channels_out = (uint32_t)y->dims[3];
    const uint32_t x_row = (uint32_t)v.in * channels, y_row = (uint32_t)v.out * channels_out;
    const uint32_t w_row = TAPS * channels_out;
    if (h.taps != TAPS || v.taps != TAPS || h.dilation != 1 || v.dilation != 1 || channels < CHANNELS)
        return false;
    layer l = {
        .channels = channels,
        .multiplier = channels_out / channels,
        .zero_point = (int16_t)p->x_zero_point,
        .out = {p->y_zero_point, p->y_min, p->y_max},
        .q = c->data[2],
        .w = c->data[1],
        .planes = c->scratch,
    };
    if (v.stride > 2 || (h.stride <= 2 && quads(&v, &h) < quads(&h, &v))) {
        l.rows = v, l.x_row = channels, l.w_row = channels_out, l.y_row = channels_out;
        l.cols = h, l.x_col = x_row, l.w_col = w_row, l.y_col = y_row;
    } else {
        l.rows = h, l.x_row = x_row, l.w_row = w_row, l.y_row = y_row;
        l.cols = v, l.x_col = channels, l.w_col = channels_out, l.y_col = channels_out;
    }
    if (l.cols.stride > 2 || l.cols.out > PE_WINDOW_LIMIT || l.rows.stride > PE_WINDOW_LIMIT / TAPS)
        return false;
    const uint32_t columns = ((uint32_t)l.cols.out + COLUMNS - 1) & ~(uint32_t)(COLUMNS - 1);
    l.plane_w = columns * (uint32_t)l.cols.stride + 2;
    const uint32_t fit = c->scratch_bytes / (2 * CHANNELS * l.plane_w), most = (uint32_t)l.rows.out;
    if (fit < TAPS)
        return false;
    l.band = (fit - TAPS) / (uint32_t)l.rows.stride + 1;
    l.band = l.band < most ? l.band : most;
    for (uint32_t image = 0; image < (uint32_t)x->dims[0]; image++) {
        const int8_t *const from = (const int8_t *)c->data[0] + image * (x->bytes / (uint32_t)x->dims[0]);
        int8_t *const to = (int8_t *)c->data[3] + image * (y->bytes / (uint32_t)x->dims[0]);
        for (uint32_t first = 0; first < most; first += l.band)
            run_band(&l, from, to, (int32_t)first, (int32_t)(most - first < l.band ? most - first : l.band));
    }
    return true;
}
