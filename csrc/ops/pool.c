#include "check.h"
#include "kernels/f16.h"
#include "kernels/kernels.h"
#include "ops.h"
#include "requantize.h"
#include "s16.h"

/* avg_pool2d, max_pool2d: x[N,H,W,C] -> y[N,Ho,Wo,C]. The shape of y gives the number of windows. What lies outside x is
 * not counted; check sees to it that every window has an element of x. */

/* Every window from the first to the last, along one axis, meets 0 .. size. */
static bool windows_meet(int32_t size, int32_t windows, int32_t kernel, int32_t stride, int32_t pad)
{
    const int32_t most = 32767;
    if (kernel < 1 || kernel > most || stride < 1 || stride > most || pad < 0 || pad >= kernel)
        return false;
    return (int64_t)(windows - 1) * stride - pad < size;
}

static pe_status check_shapes(const pe_call *c, uint8_t dtype, const char **text)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    const pe_pool2d_params *p = c->params;
    *text = "pool2d: x and y are not [N,H,W,C] of the right dtype";
    if (x->dtype != dtype || y->dtype != dtype || x->rank != 4 || y->rank != 4 || x->dims[0] != y->dims[0] ||
        x->dims[3] != y->dims[3])
        return PE_ERR_SHAPE;
    *text = "pool2d: kernel, stride or padding, or a window with nothing in it";
    return windows_meet(x->dims[1], y->dims[1], p->kernel_h, p->stride_h, p->pad_top) &&
                   windows_meet(x->dims[2], y->dims[2], p->kernel_w, p->stride_w, p->pad_left)
               ? PE_OK
               : PE_ERR_SHAPE;
}

static pe_status check_s8(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_pool2d_params *p = c->params;
    (void)scratch_bytes;
    pe_status status = check_shapes(c, PE_S8, text);
    if (status != PE_OK)
        return status;
    *text = "pool2d: y_min, y_max";
    return pe_is_range_s8(p->y_min, p->y_max) ? PE_OK : PE_ERR_SHAPE;
}

static pe_status check_s16(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_pool2d_params *p = c->params;
    (void)scratch_bytes;
    pe_status status = check_shapes(c, PE_S16, text);
    if (status != PE_OK)
        return status;
    *text = "pool2d: y_min, y_max";
    return pe_is_range_s16(p->y_min, p->y_max) ? PE_OK : PE_ERR_SHAPE;
}

static pe_status check_float(const pe_call *c, uint8_t dtype, const char **text)
{
    const pe_pool2d_params *p = c->params;
    pe_status status = check_shapes(c, dtype, text);
    if (status != PE_OK)
        return status;
    *text = "pool2d: f_min, f_max";
    return pe_is_range_f32(p->f_min, p->f_max) ? PE_OK : PE_ERR_SHAPE;
}

static pe_status check_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_float(c, PE_F32, text);
}

static pe_status check_f16(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_float(c, PE_F16, text);
}

/* The part of one window that lies in x, for channel 0: rows x cols pixels from element first. */
typedef struct window {
    uint32_t first, rows, cols;
    uint32_t step_row, step_col; /* elements of x */
    uint32_t channels;
} window;

typedef void window_fn(const pe_call *c, const window *w, uint32_t y);

/* Calls f for each window; y is the element of its output for channel 0. */
static void for_each_window(const pe_call *c, window_fn *f)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    const pe_pool2d_params *p = c->params;
    int32_t h = x->dims[1], wd = x->dims[2];
    uint32_t channels = (uint32_t)x->dims[3], out = 0;
    window w = {.step_row = (uint32_t)wd * channels, .step_col = channels, .channels = channels};
    for (int32_t n = 0; n < x->dims[0]; n++) {
        for (int32_t oy = 0; oy < y->dims[1]; oy++) {
            int32_t top = oy * p->stride_h - p->pad_top;
            int32_t y0 = top < 0 ? 0 : top, y1 = h - top < p->kernel_h ? h : top + p->kernel_h;
            for (int32_t ox = 0; ox < y->dims[2]; ox++, out += channels) {
                int32_t left = ox * p->stride_w - p->pad_left;
                int32_t x0 = left < 0 ? 0 : left, x1 = wd - left < p->kernel_w ? wd : left + p->kernel_w;
                w.first = (((uint32_t)n * (uint32_t)h + (uint32_t)y0) * (uint32_t)wd + (uint32_t)x0) * channels;
                w.rows = (uint32_t)(y1 - y0);
                w.cols = (uint32_t)(x1 - x0);
                f(c, &w, out);
            }
        }
    }
}

static void avg_s8(const pe_call *c, const window *w, uint32_t y)
{
    const pe_pool2d_params *p = c->params;
    int32_t count = (int32_t)(w->rows * w->cols);
    for (uint32_t ch = 0; ch < w->channels; ch++) {
        const int8_t *row = (const int8_t *)c->data[0] + w->first + ch;
        uint32_t sum = 0;
        for (uint32_t i = 0; i < w->rows; i++) {
            for (uint32_t k = 0; k < w->cols; k++)
                sum += (uint32_t)row[k * w->step_col];
            row += w->step_row;
        }
        /* Halves away from zero. */
        int32_t half = (int32_t)sum > 0 ? count / 2 : -(count / 2);
        int32_t mean = (int32_t)(sum + (uint32_t)half) / count;
        ((int8_t *)c->data[1])[y + ch] = (int8_t)pe_clamp_s32(mean, p->y_min, p->y_max);
    }
}

/* Of uint8 codes less 128: halves up. */
static void avg_up_s8(const pe_call *c, const window *w, uint32_t y)
{
    const pe_pool2d_params *p = c->params;
    const uint32_t count = w->rows * w->cols;
    for (uint32_t ch = 0; ch < w->channels; ch++) {
        const int8_t *row = (const int8_t *)c->data[0] + w->first + ch;
        uint32_t sum = count / 2;
        for (uint32_t i = 0; i < w->rows; i++) {
            for (uint32_t k = 0; k < w->cols; k++)
                sum += (uint32_t)(row[k * w->step_col] + 128);
            row += w->step_row;
        }
        ((int8_t *)c->data[1])[y + ch] = (int8_t)pe_clamp_s32((int32_t)(sum / count) - 128, p->y_min, p->y_max);
    }
}

static void max_s8(const pe_call *c, const window *w, uint32_t y)
{
    const pe_pool2d_params *p = c->params;
    for (uint32_t ch = 0; ch < w->channels; ch++) {
        const int8_t *row = (const int8_t *)c->data[0] + w->first + ch;
        int32_t max = -128;
        for (uint32_t i = 0; i < w->rows; i++) {
            for (uint32_t k = 0; k < w->cols; k++) {
                int32_t v = row[k * w->step_col];
                max = v > max ? v : max;
            }
            row += w->step_row;
        }
        ((int8_t *)c->data[1])[y + ch] = (int8_t)pe_clamp_s32(max, p->y_min, p->y_max);
    }
}

static void avg_s16(const pe_call *c, const window *w, uint32_t y)
{
    const pe_pool2d_params *p = c->params;
    const int64_t count = (int64_t)w->rows * w->cols;
    for (uint32_t ch = 0; ch < w->channels; ch++) {
        const int16_t *row = (const int16_t *)c->data[0] + w->first + ch;
        int64_t sum = 0;
        for (uint32_t i = 0; i < w->rows; i++) {
            for (uint32_t k = 0; k < w->cols; k++)
                sum += row[k * w->step_col];
            row += w->step_row;
        }
        /* Halves away from zero. */
        int64_t mean = (sum + (sum > 0 ? count / 2 : -(count / 2))) / count;
        ((int16_t *)c->data[1])[y + ch] = (int16_t)pe_clamp_s32((int32_t)mean, p->y_min, p->y_max);
    }
}

static void max_s16(const pe_call *c, const window *w, uint32_t y)
{
    const pe_pool2d_params *p = c->params;
    for (uint32_t ch = 0; ch < w->channels; ch++) {
        const int16_t *row = (const int16_t *)c->data[0] + w->first + ch;
        int32_t max = INT16_MIN;
        for (uint32_t i = 0; i < w->rows; i++) {
            for (uint32_t k = 0; k < w->cols; k++) {
                int32_t v = row[k * w->step_col];
                max = v > max ? v : max;
            }
            row += w->step_row;
        }
        ((int16_t *)c->data[1])[y + ch] = (int16_t)pe_clamp_s32(max, p->y_min, p->y_max);
    }
}

static void avg_f32(const pe_call *c, const window *w, uint32_t y)
{
    const pe_pool2d_params *p = c->params;
    float count = (float)(w->rows * w->cols);
    for (uint32_t ch = 0; ch < w->channels; ch++) {
        const float *row = (const float *)c->data[0] + w->first + ch;
        float sum = 0;
        for (uint32_t i = 0; i < w->rows; i++) {
            for (uint32_t k = 0; k < w->cols; k++)
                sum += row[k * w->step_col];
            row += w->step_row;
        }
        ((float *)c->data[1])[y + ch] = pe_clip_f32(sum / count, p->f_min, p->f_max);
    }
}

/* The first of equal values, so that -0 and +0 have an order; NaN if any is NaN. */
static void max_f32(const pe_call *c, const window *w, uint32_t y)
{
    const pe_pool2d_params *p = c->params;
    for (uint32_t ch = 0; ch < w->channels; ch++) {
        const float *row = (const float *)c->data[0] + w->first + ch;
        float max = *row;
        for (uint32_t i = 0; i < w->rows; i++) {
            for (uint32_t k = 0; k < w->cols; k++) {
                float v = row[k * w->step_col];
                if (!pe_float_le(v, max) && !pe_is_nan(max))
                    max = v;
            }
            row += w->step_row;
        }
        ((float *)c->data[1])[y + ch] = pe_clip_f32(max, p->f_min, p->f_max);
    }
}

/* As floats, with one rounding at the end. */
static void avg_f16(const pe_call *c, const window *w, uint32_t y)
{
    const pe_pool2d_params *p = c->params;
    float count = (float)(w->rows * w->cols);
    for (uint32_t ch = 0; ch < w->channels; ch++) {
        const uint16_t *row = (const uint16_t *)c->data[0] + w->first + ch;
        float sum = 0;
        for (uint32_t i = 0; i < w->rows; i++) {
            for (uint32_t k = 0; k < w->cols; k++)
                sum += pe_f16_widen(row[k * w->step_col]);
            row += w->step_row;
        }
        ((uint16_t *)c->data[1])[y + ch] = pe_f16_round(pe_clip_f32(sum / count, p->f_min, p->f_max));
    }
}

static void max_f16(const pe_call *c, const window *w, uint32_t y)
{
    const pe_pool2d_params *p = c->params;
    for (uint32_t ch = 0; ch < w->channels; ch++) {
        const uint16_t *row = (const uint16_t *)c->data[0] + w->first + ch;
        float max = pe_f16_widen(*row);
        for (uint32_t i = 0; i < w->rows; i++) {
            for (uint32_t k = 0; k < w->cols; k++) {
                float v = pe_f16_widen(row[k * w->step_col]);
                if (!pe_float_le(v, max) && !pe_is_nan(max))
                    max = v;
            }
            row += w->step_row;
        }
        ((uint16_t *)c->data[1])[y + ch] = pe_f16_round(pe_clip_f32(max, p->f_min, p->f_max));
    }
}

static void run_avg_s8(const pe_call *c)
{
    if (!c->kernels->avg_pool2d_s8 || !c->kernels->avg_pool2d_s8(c))
        for_each_window(c, avg_s8);
}

static void run_avg_up_s8(const pe_call *c)
{
    for_each_window(c, avg_up_s8);
}

static void run_max_s8(const pe_call *c)
{
    if (!c->kernels->max_pool2d_s8 || !c->kernels->max_pool2d_s8(c))
        for_each_window(c, max_s8);
}

static void run_avg_s16(const pe_call *c)
{
    for_each_window(c, avg_s16);
}

static void run_max_s16(const pe_call *c)
{
    for_each_window(c, max_s16);
}

static void run_avg_f32(const pe_call *c)
{
    for_each_window(c, avg_f32);
}

static void run_max_f32(const pe_call *c)
{
    for_each_window(c, max_f32);
}

static void run_avg_f16(const pe_call *c)
{
    for_each_window(c, avg_f16);
}

static void run_max_f16(const pe_call *c)
{
    for_each_window(c, max_f16);
}

#define POOL_DEF(op, OP, type, TYPE)                   \
    const pe_op_def pe_op_def_##op##_pool2d_##type = { \
        .kind = PE_OP_##OP##_POOL2D_##TYPE,            \
        .params_bytes = sizeof(pe_pool2d_params),      \
        .min_inputs = 1,                               \
        .max_inputs = 1,                               \
        .outputs = 1,                                  \
        .name = #op "_pool2d_" #type,                  \
        .check = check_##type,                         \
        .run = run_##op##_##type,                      \
    };

POOL_DEF(avg, AVG, s8, S8)
POOL_DEF(avg, AVG, f32, F32)
POOL_DEF(avg_up, AVG_UP, s8, S8)
POOL_DEF(avg, AVG, s16, S16)
POOL_DEF(max, MAX, s16, S16)
POOL_DEF(max, MAX, s8, S8)
POOL_DEF(max, MAX, f32, F32)
POOL_DEF(avg, AVG, f16, F16)
POOL_DEF(max, MAX, f16, F16)
