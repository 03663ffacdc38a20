#include "kernels/rv32/rv32.h"
#include "ops/ops.h"

/* linear_s8, with weights in interleaved rows or in the canonical layout. */

enum { ROWS = 8, MANY = 16, QUAD = 4 };

/* Some rows of w, blocks times as many as the kernel takes, from `first` on. */
static void rows(void (*kernel)(const pe_rv32_linear *), pe_rv32_linear t, size_t first, size_t blocks)
{
    t.w += first * t.k;
    t.q += first;
    t.y += first;
    t.blocks = (uint32_t)blocks;
    if (blocks)
        kernel(&t);
}

/* Eight rows of w at a time; the last ones overlap with those before where n is no multiple. */
void pe_rv32_linear_s8(const pe_rv32_linear *t, size_t n)
{
    rows(pe_rv32_linear8_s8, *t, 0, n / ROWS);
    if (n % ROWS)
        rows(pe_rv32_linear8_s8, *t, n - ROWS, 1);
}

/* Of interleaved rows one output at a time, whatever the shifts are. */
static void run_plain(const pe_rv32_linear *t, size_t n, size_t many, const pe_output_s8 *out)
{
    for (size_t i = 0; i < n; i++) {
        const size_t block = i < many ? MANY : QUAD;
        const uint8_t *w = (const uint8_t *)t->w + i / block * block * t->k + i % block;
        uint32_t sum = (uint32_t)t->q[i].bias;
        for (size_t k = 0; k < t->k; k++)
            sum += (uint32_t)(t->x[k] * (w[k * block] - 128));
        t->y[i] = pe_requantize_s8(sum, t->q[i].a, t->q[i].b, out);
    }
}

bool pe_linear_s8__rv32(const pe_call *c)
{
    const pe_linear_params *p = c->params;
    const pe_tensor *w = c->tensor[1];
    const size_t m = (size_t)c->tensor[0]->dims[0], n = (size_t)w->dims[0];
    const bool are_short = pe_shifts_are_short(c->data[2], n), interleaved = w->layout == PE_LAYOUT_INTERLEAVED_ROWS;
    if (!interleaved && (p->rounding != PE_ROUND_TFLITE || n < ROWS || !are_short))
        return false;
    const size_t many = n / MANY * MANY, whole = n / QUAD * QUAD;
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    pe_rv32_linear t = {
        .x = c->data[0],
        .w = c->data[1],
        .q = c->data[2],
        .y = c->data[3],
        .k = (uint32_t)w->dims[1],
        .offset = 2 * p->y_zero_point + 1,
        .min = p->y_min,
        .max = p->y_max,
    };
    for (size_t i = 0; i < m; i++, t.x += t.k, t.y += n) {
        if (!interleaved) {
            pe_rv32_linear_s8(&t, n);
            continue;
        }
        if (are_short) {
            rows(pe_rv32_interleaved16_s8, t, 0, many / MANY);
            rows(pe_rv32_interleaved4_s8, t, many, (whole - many) / QUAD);
        } else {
            run_plain(&t, whole, many, &out);
        }
        if (n > whole)
            c->kernels->gemm_s8(1, n - whole, t.k, t.x, t.k, t.w + whole * t.k, t.q + whole, &out, t.y + whole, n);
    }
    return true;
}
