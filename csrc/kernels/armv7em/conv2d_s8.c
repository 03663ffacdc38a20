#include "kernels/armv7em/armv7em.h"
#include "kernels/bytes.h"
#include "ops/ops.h"
#include "ops/window.h"

/* conv2d_s8 with weights in mixed rows: four pixels at a time. Their windows are widened side by side into scratch, with the
 * padding as values; then all channels are computed from them. The last four pixels of an image overlap with those before. A
 * last channel that has no pair is one with zeros. */

enum { PIXELS = 4 };

typedef struct layer {
    pe_axis h, w;
    uint32_t pixel_bytes; /* of x */
    uint32_t tap_bytes;   /* channels of a group */
    uint32_t k, n;        /* weights of a channel, channels of a group */
    uint32_t even_step;   /* bytes of x from window to window, where all are equally far apart and one run; else 0 */
    bool in_runs;         /* taps are whole words */
    bool is_fast;         /* all channels are */
    uint8_t zero_point;
    pe_output_s8 out;
    const int8_t *image; /* x at one n and the first channel of the group */
    uint32_t *words;     /* the widened windows */
    int8_t *bytes;       /* in_runs: a row of taps in the padding; else four windows as bytes */
    uint32_t *lone;      /* a last channel without a pair, widened */
} layer;

static inline int8_t *fill(int8_t *to, uint8_t value, uint32_t n)
{
    for (; n; n--)
        *to++ = (int8_t)value;
    return to;
}

static inline int8_t *copy(int8_t *to, const int8_t *from, uint32_t n)
{
    for (; n >= 4; n -= 4, to += 4, from += 4)
        __builtin_memcpy(to, from, 4);
    for (; n; n--)
        *to++ = *from++;
    return to;
}

/* Rows of n bytes, from_row apart, one after the other; not inlined, for the registers' sake. */
static __attribute__((noinline)) int8_t *copy_rows(int8_t *to, const int8_t *from, uint32_t from_row, uint32_t rows,
                                                   uint32_t n)
{
    for (; rows; rows--, from += from_row) {
        const int8_t *s = from;
        for (const int8_t *const end = s + (n & ~3u); s != end; s += 4, to += 4)
            __builtin_memcpy(to, s, 4);
        if (n & 2) {
            __builtin_memcpy(to, s, 2);
            s += 2, to += 2;
        }
        if (n & 1)
            *to++ = *s;
    }
    return to;
}

/* How many of n positions x, x + step, ... lie before 0. */
static inline uint32_t before(int32_t x, int32_t step, int32_t n)
{
    const int32_t outside = x < 0 ? (step - 1 - x) / step : 0;
    return (uint32_t)(outside < n ? outside : n);
}

/* A window as bytes, from pixel (y, x) of the image on. */
static int8_t *gather(const layer *l, int32_t y, int32_t x, int8_t *to)
{
    const uint32_t row_bytes = (uint32_t)l->w.in * l->pixel_bytes, taps = (uint32_t)l->w.taps;
    const uint32_t first = before(x, l->w.dilation, l->w.taps), end = before(x - l->w.in, l->w.dilation, l->w.taps);
    const uint32_t left = first * l->tap_bytes, right = (taps - end) * l->tap_bytes;
    const bool is_run = l->w.dilation == 1 && l->tap_bytes == l->pixel_bytes;
    const uint32_t column = (uint32_t)(x + (int32_t)first * l->w.dilation) * l->pixel_bytes;
    const uint32_t tap_step = (uint32_t)l->w.dilation * l->pixel_bytes;
    for (int32_t i = 0; i < l->h.taps; i++, y += l->h.dilation) {
        if (y < 0 || y >= l->h.in || end <= first) {
            to = fill(to, l->zero_point, taps * l->tap_bytes);
            continue;
        }
        const int8_t *const row = l->image + (uint32_t)y * row_bytes + column;
        to = fill(to, l->zero_point, left);
        if (is_run)
            to = copy(to, row, (end - first) * l->tap_bytes);
        else
            for (uint32_t j = 0; j < end - first; j++)
                to = copy(to, row + j * tap_step, l->tap_bytes);
        to = fill(to, l->zero_point, right);
    }
    return to;
}

/* The windows of output pixels first, first + step, ..., to l->words: by way of bytes. */
static void widen_bytes(const layer *l, uint32_t first, uint32_t step)
{
    const bool is_run = l->w.dilation == 1 && l->tap_bytes == l->pixel_bytes;
    const uint32_t row_bytes = (uint32_t)l->w.in * l->pixel_bytes, run = (uint32_t)l->w.taps * l->tap_bytes;
    const int32_t last_y = l->h.in - 1 - (l->h.taps - 1) * l->h.dilation, last_x = l->w.in - l->w.taps;
    const int8_t *from[PIXELS];
    int8_t *end = l->bytes;
    int32_t oy = (int32_t)first / l->w.out, ox = (int32_t)first % l->w.out;
    for (int p = 0; p < PIXELS; p++) {
        const int32_t y = oy * l->h.stride - l->h.pad, x = ox * l->w.stride - l->w.pad;
        from[p] = end;
        if (is_run && y >= 0 && y <= last_y && x >= 0 && x <= last_x)
            end = copy_rows(end, l->image + (uint32_t)y * row_bytes + (uint32_t)x * l->pixel_bytes,
                            (uint32_t)l->h.dilation * row_bytes, (uint32_t)l->h.taps, run);
        else
            end = gather(l, y, x, end);
        if (step && ++ox == l->w.out) {
            ox = 0;
            oy++;
        }
    }
    pe_armv7em_widen4(from, l->words, l->k);
}

/* The same, from where they lie. */
static void widen_runs(const layer *l, uint32_t first, uint32_t step)
{
    const int8_t *from[PIXELS];
    uint32_t *to = l->words;
    int32_t y[PIXELS], x[PIXELS];
    bool inside = l->w.dilation == 1 && l->tap_bytes == l->pixel_bytes;
    int32_t oy = (int32_t)first / l->w.out, ox = (int32_t)first % l->w.out;
    for (int p = 0; p < PIXELS; p++) {
        y[p] = oy * l->h.stride - l->h.pad;
        x[p] = ox * l->w.stride - l->w.pad;
        inside = inside && x[p] >= 0 && x[p] + l->w.taps <= l->w.in;
        if (step && ++ox == l->w.out) {
            ox = 0;
            oy++;
        }
    }
    const int32_t runs = inside ? 1 : l->w.taps;
    const uint32_t run = inside ? (uint32_t)l->w.taps * l->tap_bytes : l->tap_bytes;
    const uint32_t row_bytes = (uint32_t)l->w.in * l->pixel_bytes;
    for (int32_t i = 0; i < l->h.taps; i++) {
        const int8_t *row[PIXELS]; /* of x; NULL outside */
        for (int p = 0; p < PIXELS; p++) {
            const int32_t iy = y[p] + i * l->h.dilation;
            row[p] = iy < 0 || iy >= l->h.in ? NULL : l->image + (uint32_t)iy * row_bytes;
        }
        for (int32_t j = 0, tap = 0; j < runs; j++, tap += l->w.dilation) {
            for (int p = 0; p < PIXELS; p++) {
                const uint32_t ix = (uint32_t)(x[p] + tap);
                from[p] = row[p] && ix < (uint32_t)l->w.in ? row[p] + ix * l->pixel_bytes : l->bytes;
            }
            to = pe_armv7em_widen4(from, to, run);
        }
    }
}

static void widen(const layer *l, uint32_t first, uint32_t step)
{
    if (!l->even_step) {
        (l->in_runs ? widen_runs : widen_bytes)(l, first, step);
        return;
    }
    const int8_t *from[PIXELS];
    for (uint32_t p = 0; p < PIXELS; p++)
        from[p] = l->image + (first + p * step) * l->even_step;
    pe_armv7em_widen4(from, l->words, l->k);
}

/* The first `last` channels of a pair from its sums. */
static void requantize(const layer *l, const pe_armv7em_pairs *t, const uint32_t *sums, uint32_t last)
{
    for (uint32_t i = 0; i < last; i++)
        for (uint32_t p = 0; p < PIXELS; p++)
            t->y[p * t->y_stride + i] = pe_armv7em_output(sums[i ? p : PIXELS + p], t->q + i, &l->out);
}

/* All channels of a group for the pixels whose windows are in l->words. */
static void compute(const layer *l, const pe_channel *q, const int8_t *w, int8_t *y, uint32_t y_stride)
{
    uint32_t sums[2 * PIXELS];
    pe_armv7em_pairs t = {
        .x = l->words,
        .q = q,
        .y = y,
        .y_stride = y_stride,
        .pairs = l->n / 2,
        .offset = 2 * l->out.zero_point + 1,
        .loop = PE_ARMV7EM_PAIRS_LOOP(l->k, false),
        .w = w,
    };
    if (l->is_fast && t.pairs) {
        pe_armv7em_pairs_s8(&t);
        t.q += l->n & ~1u, t.y += l->n & ~1u;
    }
    t.loop = PE_ARMV7EM_PAIRS_LOOP(l->k, true);
    t.sums = sums;
    t.pairs = 1;
    for (uint32_t i = l->is_fast ? l->n & ~1u : 0; i < l->n; i += 2, t.q += 2, t.y += 2) {
        pe_armv7em_pairs pair = t;
        pe_channel both[2] = {t.q[0], t.q[0]};
        pair.q = both;
        if (i + 1 < l->n) {
            pair.w = w + i * l->k;
            both[1] = t.q[1];
        } else {
            pair.w = (const int8_t *)l->lone;
        }
        pe_armv7em_pairs_s8(&pair);
        requantize(l, &t, sums, i + 1 < l->n ? 2 : 1);
    }
    if (l->out.min != -128 || l->out.max != 127)
        for (uint32_t p = 0; p < PIXELS; p++)
            pe_armv7em_clamp(y + p * y_stride, l->n, &l->out);
}

/* One output at a time, for a plan that gives no scratch. */
static void compute_plain(const layer *l, const pe_channel *q, const int8_t *w, int32_t oy, int32_t ox, int8_t *y)
{
    for (uint32_t c = 0; c < l->n; c++) {
        const bool is_lone = c + 1 == l->n && l->n % 2;
        const int8_t *const block = w + (c & ~1u) * l->k;
        uint32_t sum = (uint32_t)q[c].bias;
        for (uint32_t i = 0; i < l->k; i++) {
            const int32_t tap = (int32_t)(i / l->tap_bytes);
            const int32_t iy = oy * l->h.stride - l->h.pad + tap / l->w.taps * l->h.dilation;
            const int32_t ix = ox * l->w.stride - l->w.pad + tap % l->w.taps * l->w.dilation;
            int32_t x = (int8_t)l->zero_point;
            if (iy >= 0 && iy < l->h.in && ix >= 0 && ix < l->w.in)
                x = l->image[(uint32_t)(iy * l->w.in + ix) * l->pixel_bytes + i % l->tap_bytes];
            sum += (uint32_t)(x * (is_lone ? block[i] : pe_armv7em_weight(block, 1, l->k, c % 2, i)));
        }
        y[c] = pe_armv7em_output(sum, q + c, &l->out);
    }
}

static bool are_fast(const pe_channel *q, uint32_t n)
{
    for (; n; n--, q++)
        if (!pe_armv7em_is_fast(q))
            return false;
    return true;
}

/* Pixels of one image and group. */
static void run(const layer *l, const pe_channel *q, const int8_t *w, int8_t *y, uint32_t channels, bool has_scratch)
{
    const uint32_t pixels = (uint32_t)l->h.out * (uint32_t)l->w.out;
    if (!has_scratch) {
        for (int32_t oy = 0; oy < l->h.out; oy++)
            for (int32_t ox = 0; ox < l->w.out; ox++, y += channels)
                compute_plain(l, q, w, oy, ox, y);
        return;
    }
    if (l->n % 2)
        pe_armv7em_widen1(w + (l->n - 1) * l->k, l->lone, l->k);
    if (pixels < PIXELS) {
        for (uint32_t i = 0; i < pixels; i++) {
            widen(l, i, 0);
            compute(l, q, w, y + i * channels, 0);
        }
        return;
    }
    for (uint32_t i = 0; i < pixels; i += PIXELS) {
        const uint32_t first = i + PIXELS <= pixels ? i : pixels - PIXELS;
        widen(l, first, 1);
        compute(l, q, w, y + first * channels, channels);
    }
}

bool pe_conv2d_s8__armv7em(const pe_call *c)
{
    const pe_conv2d_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[3];
    if (w->layout != PE_LAYOUT_MIXED_ROWS)
        return false;
    const uint32_t channels = (uint32_t)w->dims[0], groups = (uint32_t)p->groups, k = w->bytes / channels;
    layer l = {
        .h = pe_axis_h(p, x, y, w->dims[1]),
        .w = pe_axis_w(p, x, y, w->dims[2]),
        .pixel_bytes = (uint32_t)x->dims[3],
        .tap_bytes = (uint32_t)w->dims[3],
        .k = k,
        .n = channels / groups,
        .is_fast = are_fast(c->data[2], channels),
        .zero_point = (uint8_t)p->x_zero_point,
        .out = {p->y_zero_point, p->y_min, p->y_max},
    };
    const bool one_run = l.h.taps == 1 && (l.w.taps == 1 || (groups == 1 && l.w.dilation == 1));
    const bool is_even = l.h.out == 1 || l.w.out * l.w.stride == l.h.stride * l.w.in;
    if (one_run && is_even && pe_axis_inside(&l.h) && pe_axis_inside(&l.w))
        l.even_step = (uint32_t)l.w.stride * l.pixel_bytes;
    l.in_runs = l.tap_bytes % 4 == 0;
    const uint32_t byte_count = l.in_runs ? (uint32_t)l.w.taps * l.tap_bytes : (PIXELS * k + 3) & ~3u;
    const bool has_scratch = c->scratch_bytes >= 8 * (uint64_t)k + byte_count + (l.n % 2 ? 2 * (uint64_t)k : 0);
    if (has_scratch) {
        l.words = c->scratch;
        l.bytes = (int8_t *)c->scratch + 8 * k;
        l.lone = (uint32_t *)(void *)(l.bytes + byte_count);
        if (l.in_runs)
            pe_fill_bytes(l.bytes, l.zero_point, byte_count);
    }
    const uint32_t image_bytes = x->bytes / (uint32_t)x->dims[0], y_bytes = y->bytes / (uint32_t)x->dims[0];
    for (uint32_t image = 0; image < (uint32_t)x->dims[0]; image++)
        for (uint32_t group = 0; group < groups; group++) {
            const uint32_t first = group * l.n;
            l.image = (const int8_t *)c->data[0] + image * image_bytes + group * l.tap_bytes;
            run(&l, (const pe_channel *)c->data[2] + first, (const int8_t *)c->data[1] + first * k,
                (int8_t *)c->data[3] + image * y_bytes + first, channels, has_scratch);
        }
    return true;
}
