#include "kernels/f16.h"
#include "ops/grid.h"

/* max_pool_grad: dy[N, O.., C] x[N, D.., C] -> dx[N, D.., C]: dy goes to the first of the largest elements of its window,
 * to the first NaN if there is one. avg_pool_grad: dy -> dx: dy over the number of taps that count goes to each element of
 * its window. Windows overlap: dx is a sum in float32 from +0, in ascending order of windows; one channel of an image at a
 * time, in dx itself or, of float16, in scratch. */

static const char *grid_of(const pe_call *c, pe_grid *g)
{
    const pe_pool_nd_params *p = c->params;
    const pe_tensor *dy = c->tensor[0], *dx = c->tensor[c->inputs];
    for (uint32_t i = 0; i <= c->inputs; i++)
        if (c->tensor[i]->dtype != PE_F32 && c->tensor[i]->dtype != PE_F16)
            return "pool gradient: an operand or the result is neither float32 nor float16";
    if (p->axes < 1 || p->axes > PE_GRID_AXES || dy->rank != p->axes + 2 || dx->rank != dy->rank ||
        dy->dims[0] != dx->dims[0] || dy->dims[dy->rank - 1] != dx->dims[dx->rank - 1])
        return "pool gradient: dy and dx are not [N, .., C] with two axes more than the windows";
    *g = (pe_grid){.axes = (uint32_t)p->axes};
    for (uint32_t a = 0; a < g->axes; a++) {
        g->in[a] = dx->dims[a + 1];
        g->out[a] = dy->dims[a + 1];
        g->taps[a] = p->kernel[a];
        g->stride[a] = p->stride[a];
        g->dilation[a] = p->dilation[a];
        g->pad[a] = p->pad[a];
        if (p->pad_after[a] < 0 || p->pad_after[a] > 32767 || g->taps[a] > 32767)
            return "pool gradient: the kernel or the padding is out of range";
    }
    return pe_grid_ok(g) ? NULL : "pool gradient: stride, dilation or padding is out of range";
}

/* One channel of one image: elements `step` apart. */
typedef struct plane {
    const void *x; /* max_pool_grad */
    bool x_is_f16;
    size_t first, step; /* of x */
    float *sum;
    size_t sum_step;
} plane;

/* The taps of a window that lie in the image: `count` of each axis, from pixel `first` on. */
typedef struct window {
    int32_t first[PE_GRID_AXES], count[PE_GRID_AXES];
    uint32_t counted; /* taps that an average divides by */
} window;

/* Taps t, 0 .. taps - 1, with x0 + t * dilation < end. */
static int32_t taps_below(int32_t end, int32_t x0, int32_t dilation, int32_t taps)
{
    const int32_t below = end > x0 ? (end - x0 - 1) / dilation + 1 : 0;
    return below < taps ? below : taps;
}

/* False if no tap lies in the image. */
static bool window_at(const pe_grid *g, const pe_pool_nd_params *p, const int32_t *o, window *w)
{
    bool found = true;
    w->counted = 1;
    for (uint32_t a = 0; a < g->axes; a++) {
        const int32_t x0 = o[a] * g->stride[a] - g->pad[a], step = g->dilation[a];
        const int32_t before = taps_below(0, x0, step, g->taps[a]), below = taps_below(g->in[a], x0, step, g->taps[a]);
        w->first[a] = x0 + before * step;
        w->count[a] = below - before;
        w->counted *= (uint32_t)(p->count_include_pad ? taps_below(g->in[a] + p->pad_after[a], x0, step, g->taps[a])
                                                      : w->count[a]);
        found = found && w->count[a] > 0;
    }
    return found;
}

static uint32_t pixel_of(const pe_grid *g, const window *w, const int32_t *t)
{
    uint32_t at = 0;
    for (uint32_t a = 0; a < g->axes; a++)
        at = at * (uint32_t)g->in[a] + (uint32_t)(w->first[a] + t[a] * g->dilation[a]);
    return at;
}

static void add_to_largest(const pe_grid *g, const plane *p, const window *w, float dy)
{
    int32_t t[PE_GRID_AXES] = {0};
    uint32_t best = PE_NONE;
    float largest = 0;
    do {
        const uint32_t pixel = pixel_of(g, w, t);
        const float x = pe_float_at(p->x, (ptrdiff_t)(p->first + pixel * p->step), p->x_is_f16);
        if (best == PE_NONE || (!pe_is_nan(largest) && !pe_float_le(x, largest))) {
            largest = x;
            best = pixel;
        }
    } while (pe_grid_next(w->count, g->axes, t));
    p->sum[best * p->sum_step] += dy;
}

static void add_to_all(const pe_grid *g, const plane *p, const window *w, float share)
{
    int32_t t[PE_GRID_AXES] = {0};
    do
        p->sum[pixel_of(g, w, t) * p->sum_step] += share;
    while (pe_grid_next(w->count, g->axes, t));
}

static void run(const pe_call *c)
{
    const pe_tensor *dy = c->tensor[0], *dx = c->tensor[c->inputs];
    pe_grid g;
    (void)grid_of(c, &g);
    const bool max = c->inputs == 2, dy_is_f16 = dy->dtype == PE_F16, dx_is_f16 = dx->dtype == PE_F16;
    const size_t channels = (size_t)dx->dims[dx->rank - 1], pixels = pe_grid_count(g.in, g.axes),
                 windows = pe_grid_count(g.out, g.axes);
    void *result = c->data[c->inputs];
    plane p = {.x = max ? c->data[1] : NULL, .x_is_f16 = max && c->tensor[1]->dtype == PE_F16, .step = channels};
    for (size_t i = 0; i < (size_t)dx->dims[0] * channels; i++) {
        const size_t image = i / channels, channel = i % channels;
        p.first = image * pixels * channels + channel;
        p.sum = dx_is_f16 ? c->scratch : (float *)result + p.first;
        p.sum_step = dx_is_f16 ? 1 : channels;
        for (size_t pixel = 0; pixel < pixels; pixel++)
            p.sum[pixel * p.sum_step] = 0;
        int32_t o[PE_GRID_AXES] = {0};
        size_t at = image * windows * channels + channel;
        do {
            const float given = pe_float_at(c->data[0], (ptrdiff_t)at, dy_is_f16);
            window w;
            at += channels;
            if (!window_at(&g, c->params, o, &w))
                continue;
            if (max)
                add_to_largest(&g, &p, &w, given);
            else
                add_to_all(&g, &p, &w, given / (float)w.counted);
        } while (pe_grid_next(g.out, g.axes, o));
        for (size_t pixel = 0; dx_is_f16 && pixel < pixels; pixel++)
            pe_float_put(result, p.first + pixel * channels, true, p.sum[pixel]);
    }
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *dx = c->tensor[c->inputs];
    pe_grid g;
    *text = grid_of(c, &g);
    if (!*text && c->inputs == 2) {
        const pe_tensor *x = c->tensor[1];
        bool same = x->rank == dx->rank;
        for (uint32_t a = 0; same && a < dx->rank; a++)
            same = x->dims[a] == dx->dims[a];
        *text = same ? NULL : "max_pool_grad: x and dx differ in shape";
    }
    if (*text)
        return PE_ERR_SHAPE;
    *scratch_bytes = dx->dtype == PE_F16 ? pe_grid_count(g.in, g.axes) * (uint32_t)sizeof(float) : 0;
    return PE_OK;
}

const pe_op_def pe_op_def_max_pool_grad = {
    .kind = PE_OP_MAX_POOL_GRAD,
    .params_bytes = sizeof(pe_pool_nd_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "max_pool_grad",
    .check = check,
    .run = run,
};

const pe_op_def pe_op_def_avg_pool_grad = {
    .kind = PE_OP_AVG_POOL_GRAD,
    .params_bytes = sizeof(pe_pool_nd_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "avg_pool_grad",
    .check = check,
    .run = run,
};
