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

static void add_to_largest(const pe_grid *g, const plane *p, const int32_t *o, float dy)
{
    int32_t t[PE_GRID_AXES] = {0};
    uint32_t pixel, best = PE_NONE;
    float largest = 0;
    do {
        if (!pe_grid_pixel(g, o, t, &pixel))
            continue;
        const float x = pe_float_at(p->x, (ptrdiff_t)(p->first + pixel * p->step), p->x_is_f16);
        if (best == PE_NONE || (!pe_is_nan(largest) && !pe_float_le(x, largest))) {
            largest = x;
            best = pixel;
        }
    } while (pe_grid_next(g->taps, g->axes, t));
    if (best != PE_NONE)
        p->sum[best * p->sum_step] += dy;
}

/* The taps of a window that count: those in the image, or with include_pad in its padding too. */
static uint32_t count_of(const pe_grid *g, const pe_pool_nd_params *p, const int32_t *o)
{
    uint32_t count = 1;
    for (uint32_t a = 0; a < g->axes; a++) {
        const int32_t end = g->in[a] + (p->count_include_pad ? p->pad_after[a] : 0);
        int32_t at = o[a] * g->stride[a] - g->pad[a];
        uint32_t taps = 0;
        for (int32_t t = 0; t < g->taps[a]; t++, at += g->dilation[a])
            taps += (p->count_include_pad || at >= 0) && at < end;
        count *= taps;
    }
    return count;
}

static void add_to_all(const pe_grid *g, const plane *p, const int32_t *o, float share)
{
    int32_t t[PE_GRID_AXES] = {0};
    uint32_t pixel;
    do
        if (pe_grid_pixel(g, o, t, &pixel))
            p->sum[pixel * p->sum_step] += share;
    while (pe_grid_next(g->taps, g->axes, t));
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
            if (max)
                add_to_largest(&g, &p, o, given);
            else
                add_to_all(&g, &p, o, given / (float)count_of(&g, c->params, o));
            at += channels;
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
