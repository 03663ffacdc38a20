#include "check.h"
#include "conv_nd.h"
#include "matmul.h"
#include "requantize.h"
#include "typed.h"

/* matmul_integer, conv_integer: products of 8-bit codes with zero points on both sides, int32 sums. qlinear_matmul,
 * qlinear_conv: the same, then to 8-bit codes by PE_ROUND_FP32. Codes are int8 or uint8, each operand by itself; scales
 * and zero points are tensors, so they may come at run time. Sums wrap modulo 2^32. */

static bool is_code(const pe_tensor *t)
{
    return t->dtype == PE_S8 || t->dtype == PE_U8;
}

static int32_t load(const pe_call *c, uint32_t input, uint32_t i)
{
    return c->tensor[input]->dtype == PE_S8 ? ((const int8_t *)c->data[input])[i]
                                            : ((const uint8_t *)c->data[input])[i];
}

/* Element i of a tensor that has one element, or one for each i. */
static uint32_t pick(const pe_call *c, uint32_t input, uint32_t i)
{
    return pe_tensor_elements(c->tensor[input]) == 1 ? 0 : i;
}

static int32_t zero_point(const pe_call *c, uint32_t input, uint32_t i)
{
    return c->tensor[input] ? load(c, input, pick(c, input, i)) : 0;
}

static float scale(const pe_call *c, uint32_t input, uint32_t i)
{
    return (float)pe_load_f64(c->data[input], c->tensor[input]->dtype, pick(c, input, i));
}

/* Which inputs are what; 0 for what a kind does not have. */
typedef struct roles {
    uint32_t a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero, bias;
} roles;

static const roles integer_roles = {.a = 0, .b = 1, .a_zero = 2, .b_zero = 3};
static const roles qlinear_roles = {
    .a = 0, .a_scale = 1, .a_zero = 2, .b = 3, .b_scale = 4, .b_zero = 5, .y_scale = 6, .y_zero = 7, .bias = 8};

static roles roles_of(const pe_call *c)
{
    return c->tensor[c->inputs]->dtype == PE_S32 ? integer_roles : qlinear_roles;
}

/* The zero point of an input that may be absent or beyond those given. */
static int32_t optional_zero(const pe_call *c, uint32_t input, uint32_t i)
{
    return input < c->inputs ? zero_point(c, input, i) : 0;
}

/* Writes the sum of output i, of row `row` of a and column `column` of b. */
static void store(const pe_call *c, const roles *r, uint32_t i, uint32_t row, uint32_t column, uint32_t sum)
{
    if (!r->y_scale) {
        ((int32_t *)c->data[c->inputs])[i] = (int32_t)sum;
        return;
    }
    const float factor = scale(c, r->a_scale, row) * scale(c, r->b_scale, column) / scale(c, r->y_scale, 0);
    const bool is_signed = c->tensor[c->inputs]->dtype == PE_S8;
    const int32_t min = is_signed ? INT8_MIN : 0, zero = load(c, r->y_zero, 0);
    ((uint8_t *)c->data[c->inputs])[i] =
        (uint8_t)(pe_requantize_fp32((int32_t)sum, factor, min - zero, min + 255 - zero) + zero);
}

/* One matrix: a [m][k] from element `a`, b [k][n] from element `b`, y [m][n] from element `y`. */
static void matmul_one(const pe_call *c, const roles *r, uint32_t m, uint32_t n, uint32_t k, uint32_t a, uint32_t b,
                       uint32_t y)
{
    for (uint32_t i = 0; i < m; i++) {
        const int32_t a_zero = optional_zero(c, r->a_zero, i);
        for (uint32_t j = 0; j < n; j++) {
            const int32_t b_zero = optional_zero(c, r->b_zero, j);
            uint32_t sum = 0;
            for (uint32_t l = 0; l < k; l++)
                sum += (uint32_t)((load(c, r->a, a + i * k + l) - a_zero) * (load(c, r->b, b + l * n + j) - b_zero));
            store(c, r, y + i * n + j, i, j, sum);
        }
    }
}

static void run_matmul(const pe_call *c)
{
    const roles r = roles_of(c);
    const pe_tensor *a = c->tensor[r.a], *b = c->tensor[r.b], *y = c->tensor[c->inputs];
    const uint32_t m = pe_dim_from_right(y, 1), n = pe_dim_from_right(y, 0), k = pe_dim_from_right(a, 0);
    pe_loops l = pe_matmul_batches(a, b, y, m * k, k * n);
    uint32_t at = 0, bt = 0, yt = 0;
    do {
        for (uint32_t i = 0; i < l.n[0]; i++, yt += m * n)
            matmul_one(c, &r, m, n, k, at + i * l.a[0], bt + i * l.b[0], yt);
    } while (pe_loops_next(&l, &at, &bt));
}

/* Padding stands for 0, so it adds nothing. */
static void run_conv(const pe_call *c)
{
    const roles r = roles_of(c);
    const pe_tensor *x = c->tensor[r.a], *w = c->tensor[r.b];
    const uint32_t last = (uint32_t)x->rank - 1, depth = (uint32_t)w->dims[last], channels = (uint32_t)x->dims[last];
    const uint32_t outputs = (uint32_t)w->dims[0];
    const uint32_t per_group = outputs / (uint32_t)((const pe_conv_nd_params *)c->params)->groups;
    const int32_t *bias = r.bias && c->inputs > r.bias && c->tensor[r.bias] ? c->data[r.bias] : NULL;
    const int32_t x_zero = optional_zero(c, r.a_zero, 0);
    pe_grid g;
    (void)pe_conv_nd_fault(c, r.a, r.b, false, &g);
    const uint32_t in_pixels = pe_grid_count(g.in, g.axes), taps = pe_grid_count(g.taps, g.axes);
    uint32_t y = 0;
    for (uint32_t image = 0; image < (uint32_t)x->dims[0]; image++) {
        int32_t o[PE_GRID_AXES] = {0};
        do {
            for (uint32_t co = 0; co < outputs; co++, y++) {
                const int32_t w_zero = optional_zero(c, r.b_zero, co);
                uint32_t sum = bias ? (uint32_t)bias[co] : 0, from_w = co * taps * depth, pixel;
                int32_t t[PE_GRID_AXES] = {0};
                do {
                    if (pe_grid_pixel(&g, o, t, &pixel)) {
                        const uint32_t from = (image * in_pixels + pixel) * channels + co / per_group * depth;
                        for (uint32_t i = 0; i < depth; i++)
                            sum += (uint32_t)((load(c, r.a, from + i) - x_zero) * (load(c, r.b, from_w + i) - w_zero));
                    }
                    from_w += depth;
                } while (pe_grid_next(g.taps, g.axes, t));
                store(c, &r, y, 0, co, sum);
            }
        } while (pe_grid_next(g.out, g.axes, o));
    }
}

static bool is_scale(const pe_tensor *t, uint32_t many)
{
    return (t->dtype == PE_F32 || t->dtype == PE_F16 || t->dtype == PE_BF16) &&
           (pe_tensor_elements(t) == 1 || pe_tensor_elements(t) == many);
}

/* A tensor of the given dtype with one element, or with `many`. */
static bool is_per(const pe_tensor *t, uint8_t dtype, uint32_t many)
{
    return t->dtype == dtype && (pe_tensor_elements(t) == 1 || pe_tensor_elements(t) == many);
}

/* Dtypes and sizes of scales and zero points, of a with `rows` and b with `columns`. */
static const char *scales_fault(const pe_call *c, bool qlinear, uint32_t rows, uint32_t columns)
{
    const roles r = qlinear ? qlinear_roles : integer_roles;
    const pe_tensor *a = c->tensor[r.a], *b = c->tensor[r.b], *y = c->tensor[c->inputs];
    if (!is_code(a) || !is_code(b) || (qlinear ? !is_code(y) : y->dtype != PE_S32))
        return "qlinear: a, b or y is of another dtype than the kind's";
    const pe_tensor *a_zero = r.a_zero < c->inputs ? c->tensor[r.a_zero] : NULL;
    const pe_tensor *b_zero = r.b_zero < c->inputs ? c->tensor[r.b_zero] : NULL;
    if ((a_zero && !is_per(a_zero, a->dtype, rows)) || (b_zero && !is_per(b_zero, b->dtype, columns)))
        return "qlinear: a zero point is of another dtype than its operand, or there are not 1 or as many as rows or "
               "columns";
    if (!qlinear)
        return NULL;
    if (!is_scale(c->tensor[r.a_scale], rows) || !is_scale(c->tensor[r.b_scale], columns) ||
        !is_scale(c->tensor[r.y_scale], 1) || !is_per(c->tensor[r.y_zero], y->dtype, 1))
        return "qlinear: scales are no floats of at most 32 bits, 1 or as many as rows or columns, or y's zero point "
               "is not of its "
               "dtype";
    return NULL;
}

static pe_status check_matmul(const pe_call *c, bool qlinear, const char **text)
{
    const roles r = qlinear ? qlinear_roles : integer_roles;
    const pe_tensor *a = c->tensor[r.a], *b = c->tensor[r.b], *y = c->tensor[c->inputs];
    *text = pe_matmul_fault(a, b, y, false, false);
    if (*text)
        return PE_ERR_SHAPE;
    *text = scales_fault(c, qlinear, pe_dim_from_right(y, 1), pe_dim_from_right(y, 0));
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_conv(const pe_call *c, bool qlinear, const char **text)
{
    const roles r = qlinear ? qlinear_roles : integer_roles;
    const pe_tensor *bias = r.bias && c->inputs > r.bias ? c->tensor[r.bias] : NULL;
    pe_grid g;
    *text = pe_conv_nd_fault(c, r.a, r.b, false, &g);
    if (!*text)
        *text = scales_fault(c, qlinear, 1, (uint32_t)c->tensor[r.b]->dims[0]);
    if (!*text && bias && (bias->dtype != PE_S32 || bias->rank != 1 || bias->dims[0] != c->tensor[r.b]->dims[0]))
        *text = "qlinear_conv: bias is not int32 [C_out]";
    return *text ? PE_ERR_SHAPE : PE_OK;
}

static pe_status check_matmul_integer(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_matmul(c, false, text);
}

static pe_status check_qlinear_matmul(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_matmul(c, true, text);
}

static pe_status check_conv_integer(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_conv(c, false, text);
}

static pe_status check_qlinear_conv(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_conv(c, true, text);
}

const pe_op_def pe_op_def_matmul_integer = {
    .kind = PE_OP_MATMUL_INTEGER,
    .params_bytes = 0,
    .min_inputs = 2,
    .max_inputs = 4,
    .outputs = 1,
    .optional = 1 << 2 | 1 << 3,
    .name = "matmul_integer",
    .check = check_matmul_integer,
    .run = run_matmul,
};

const pe_op_def pe_op_def_qlinear_matmul = {
    .kind = PE_OP_QLINEAR_MATMUL,
    .params_bytes = 0,
    .min_inputs = 8,
    .max_inputs = 8,
    .outputs = 1,
    .name = "qlinear_matmul",
    .check = check_qlinear_matmul,
    .run = run_matmul,
};

const pe_op_def pe_op_def_conv_integer = {
    .kind = PE_OP_CONV_INTEGER,
    .params_bytes = sizeof(pe_conv_nd_params),
    .min_inputs = 2,
    .max_inputs = 4,
    .outputs = 1,
    .optional = 1 << 2 | 1 << 3,
    .name = "conv_integer",
    .check = check_conv_integer,
    .run = run_conv,
};

const pe_op_def pe_op_def_qlinear_conv = {
    .kind = PE_OP_QLINEAR_CONV,
    .params_bytes = sizeof(pe_conv_nd_params),
    .min_inputs = 8,
    .max_inputs = 9, /* the bias is left out, not absent */
    .outputs = 1,
    .name = "qlinear_conv",
    .check = check_qlinear_conv,
    .run = run_conv,
};
