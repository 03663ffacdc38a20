#include "grid.h"
#include "math_f32.h"
#include "typed.h"

/* avg_pool_nd, lp_pool_nd, max_pool_nd over 1 .. 4 axes, with dilation and windows that reach beyond the padding:
 * x[N, D.., C] -> y[N, O.., C]. And max_unpool, the way back. For what pool2d doesn't cover. */

static const char *grid_of(const pe_call *c, pe_grid *g)
{
    const pe_pool_nd_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    if (p->axes < 1 || p->axes > PE_GRID_AXES || x->rank != p->axes + 2 || y->rank != x->rank || x->dtype != y->dtype ||
        x->dims[0] != y->dims[0] || x->dims[x->rank - 1] != y->dims[x->rank - 1])
        return "pool_nd: x and y are not [N, .., C] of one dtype with two axes more than the windows";
    *g = (pe_grid){.axes = (uint32_t)p->axes};
    for (uint32_t a = 0; a < g->axes; a++) {
        g->in[a] = x->dims[a + 1];
        g->out[a] = y->dims[a + 1];
        g->taps[a] = p->kernel[a];
        g->stride[a] = p->stride[a];
        g->dilation[a] = p->dilation[a];
        g->pad[a] = p->pad[a];
        if (p->pad_after[a] < 0 || p->pad_after[a] > 32767 || g->taps[a] < 1 || g->taps[a] > 32767)
            return "pool_nd: the kernel or the padding is out of range";
    }
    return pe_grid_ok(g) ? NULL : "pool_nd: stride, dilation or padding is out of range";
}

/* Tap t of window o lies in x or its padding; not behind it, where the last windows of ceil mode reach. */
static bool counts(const pe_grid *g, const pe_pool_nd_params *p, const int32_t *o, const int32_t *t)
{
    for (uint32_t a = 0; a < g->axes; a++)
        if (o[a] * g->stride[a] - g->pad[a] + t[a] * g->dilation[a] >= g->in[a] + p->pad_after[a])
            return false;
    return true;
}

/* |x|^p, p >= 1, by repeated multiplication from the left. */
static float power(float x, int32_t p)
{
    float y = x = pe_float_from_bits(pe_float_bits(x) & 0x7FFFFFFF);
    for (; p > 1; p--)
        y *= x;
    return y;
}

/* The sums of one window for all channels into y, row by row from +0; returns the number of taps that count. */
static uint32_t window_sums(const pe_grid *g, const pe_pool_nd_params *p, const int32_t *o, const float *image,
                            uint32_t channels, int32_t exponent, float *y)
{
    int32_t t[PE_GRID_AXES] = {0};
    uint32_t count = 0, pixel;
    for (uint32_t i = 0; i < channels; i++)
        y[i] = 0;
    do {
        bool in_image = pe_grid_pixel(g, o, t, &pixel);
        count += in_image || (p->count_include_pad && counts(g, p, o, t));
        for (uint32_t i = 0; in_image && i < channels; i++)
            y[i] += exponent ? power(image[pixel * channels + i], exponent) : image[pixel * channels + i];
    } while (pe_grid_next(g->taps, g->axes, t));
    return count;
}

/* The p-th root of a sum of p-th powers. */
static float root(float x, int32_t p)
{
    if (p == 1 || !(x > 0))
        return x;
    return p == 2 ? pe_sqrt_f32(x) : pe_pow_f32(x, 1.0f / (float)p);
}

/* For each window: its sums, then a division by the number of taps (exponent 0) or a root. */
static void run_sums(const pe_call *c, int32_t exponent)
{
    const pe_pool_nd_params *p = c->params;
    pe_grid g;
    (void)grid_of(c, &g);
    const pe_tensor *x = c->tensor[0];
    const uint32_t channels = (uint32_t)x->dims[x->rank - 1], image = pe_grid_count(g.in, g.axes) * channels;
    const float *from = c->data[0];
    float *y = c->data[1];
    for (int32_t n = 0; n < x->dims[0]; n++, from += image) {
        int32_t o[PE_GRID_AXES] = {0};
        do {
            const float count = (float)window_sums(&g, p, o, from, channels, exponent, y);
            for (uint32_t i = 0; i < channels; i++)
                y[i] = exponent ? root(y[i], exponent) : y[i] / count;
            y += channels;
        } while (pe_grid_next(g.out, g.axes, o));
    }
}

static void run_avg(const pe_call *c)
{
    run_sums(c, 0);
}

static void run_lp(const pe_call *c)
{
    run_sums(c, ((const pe_pool_nd_params *)c->params)->exponent);
}

/* a > b, or a is the first NaN. */
static bool above(const pe_tensor *x, const void *data, uint32_t a, uint32_t b)
{
    if (!pe_is_float_dtype(x->dtype))
        return pe_load_s64(data, x->dtype, a) > pe_load_s64(data, x->dtype, b);
    double va = pe_load_f64(data, x->dtype, a), vb = pe_load_f64(data, x->dtype, b);
    return vb == vb && !(va <= vb);
}

/* The place of an element of x[N, D.., C] if the channels came before the axes; column_major: the first axis fastest. */
static int64_t channels_first(const pe_grid *g, uint32_t n, uint32_t pixel, uint32_t channel, uint32_t channels,
                              bool column_major)
{
    const uint32_t pixels = pe_grid_count(g->in, g->axes);
    uint32_t place = pixel;
    if (column_major) {
        uint32_t step = pixels;
        place = 0;
        for (uint32_t a = g->axes; a-- > 0;) {
            step /= (uint32_t)g->in[a];
            place += pixel % (uint32_t)g->in[a] * step;
            pixel /= (uint32_t)g->in[a];
        }
    }
    return ((int64_t)n * channels + channel) * pixels + place;
}

/* The first of the largest elements; NaN if one is NaN. A window without elements gives the lowest value of all. */
static void run_max(const pe_call *c)
{
    const pe_pool_nd_params *p = c->params;
    pe_grid g;
    (void)grid_of(c, &g);
    const pe_tensor *x = c->tensor[0];
    const uint32_t channels = (uint32_t)x->dims[x->rank - 1], pixels = pe_grid_count(g.in, g.axes);
    const double minus_infinity = -__builtin_inf();
    const bool is_float = pe_is_float_dtype(x->dtype), is_signed = x->dtype == PE_S8;
    int64_t *indices = c->outputs > 1 ? c->data[2] : NULL;
    uint32_t to = 0;
    for (uint32_t n = 0; n < (uint32_t)x->dims[0]; n++) {
        int32_t o[PE_GRID_AXES] = {0};
        do {
            for (uint32_t i = 0; i < channels; i++, to++) {
                int32_t t[PE_GRID_AXES] = {0};
                uint32_t best = PE_NONE, pixel, best_pixel = 0;
                do {
                    if (!pe_grid_pixel(&g, o, t, &pixel))
                        continue;
                    const uint32_t at = (n * pixels + pixel) * channels + i;
                    if (best == PE_NONE || above(x, c->data[0], at, best)) {
                        best = at;
                        best_pixel = pixel;
                    }
                } while (pe_grid_next(g.taps, g.axes, t));
                if (is_float)
                    pe_store_f64(c->data[1], x->dtype, to,
                                 best == PE_NONE ? minus_infinity : pe_load_f64(c->data[0], x->dtype, best));
                else
                    pe_store_s64(c->data[1], x->dtype, to,
                                 best != PE_NONE ? pe_load_s64(c->data[0], x->dtype, best)
                                 : is_signed     ? INT8_MIN
                                                 : 0);
                if (indices)
                    indices[to] =
                        best == PE_NONE ? -1 : channels_first(&g, n, best_pixel, i, channels, p->column_major != 0);
            }
        } while (pe_grid_next(g.out, g.axes, o));
    }
}

static pe_status check_sums(const pe_call *c, int32_t lowest, const char **text)
{
    const pe_pool_nd_params *p = c->params;
    pe_grid g;
    *text = grid_of(c, &g);
    if (!*text && c->tensor[0]->dtype != PE_F32)
        *text = "pool_nd: x is not float32";
    if (!*text && (p->exponent < lowest || p->exponent > 64 * lowest))
        *text = "pool_nd: the exponent is out of range";
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_avg(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_sums(c, 0, text);
}

static pe_status check_lp(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_sums(c, 1, text);
}

static pe_status check_max(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    pe_grid g;
    (void)scratch_bytes;
    *text = grid_of(c, &g);
    const pe_tensor *x = c->tensor[0], *indices = c->outputs > 1 ? c->tensor[2] : NULL;
    if (!*text && !pe_is_float_dtype(x->dtype) && x->dtype != PE_S8 && x->dtype != PE_U8)
        *text = "max_pool_nd: x is neither float nor of 8 bits";
    if (!*text && indices &&
        (indices->dtype != PE_S64 || pe_tensor_elements(indices) != pe_tensor_elements(c->tensor[1])))
        *text = "max_pool_nd: indices are not int64 of y's shape";
    return *text ? PE_ERR_SHAPE : PE_OK;
}

/* y[indices[i]] = x[i], 0 elsewhere; indices beyond y are left out. */
static void run_unpool(const pe_call *c)
{
    const pe_tensor *x = c->tensor[0];
    const uint32_t shift = pe_dtype_shift(x->dtype), size = pe_tensor_elements(c->tensor[2]);
    const int64_t *indices = c->data[1];
    uint8_t *y = c->data[2];
    const uint8_t *from = c->data[0];
    for (uint32_t i = 0; i < c->tensor[2]->bytes; i++)
        y[i] = 0;
    for (uint32_t i = 0; i < pe_tensor_elements(x); i++)
        if (indices[i] >= 0 && indices[i] < size)
            for (uint32_t b = 0; b < 1u << shift; b++)
                y[((uint32_t)indices[i] << shift) + b] = from[(i << shift) + b];
}

static pe_status check_unpool(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *x = c->tensor[0], *indices = c->tensor[1], *y = c->tensor[2];
    (void)scratch_bytes;
    *text = "max_unpool: x and y differ in dtype, or indices are not as many int64 as x has elements";
    return x->dtype == y->dtype && indices->dtype == PE_S64 && pe_tensor_elements(x) == pe_tensor_elements(indices)
               ? PE_OK
               : PE_ERR_SHAPE;
}

#define POOL_ND_DEF(op, KIND, number_of_outputs, checks, runs) \
    const pe_op_def pe_op_def_##op = {                         \
        .kind = PE_OP_##KIND,                                  \
        .params_bytes = sizeof(pe_pool_nd_params),             \
        .min_inputs = 1,                                       \
        .max_inputs = 1,                                       \
        .outputs = number_of_outputs,                          \
        .name = #op,                                           \
        .check = checks,                                       \
        .run = runs,                                           \
    };

POOL_ND_DEF(avg_pool_nd, AVG_POOL_ND, 1, check_avg, run_avg)
POOL_ND_DEF(lp_pool_nd, LP_POOL_ND, 1, check_lp, run_lp)
POOL_ND_DEF(max_pool_nd, MAX_POOL_ND, 1, check_max, run_max)
POOL_ND_DEF(max_pool_indices_nd, MAX_POOL_INDICES_ND, 2, check_max, run_max)

const pe_op_def pe_op_def_max_unpool = {
    .kind = PE_OP_MAX_UNPOOL,
    .params_bytes = 0,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "max_unpool",
    .check = check_unpool,
    .run = run_unpool,
};
