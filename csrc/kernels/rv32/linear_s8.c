#include "kernels/rv32/rv32.h"
#include "ops/ops.h"

/* Some rows of w: twelve or eight at a time, by the kernel, blocks times, from `first` on. */
static void rows(void (*kernel)(const pe_rv32_linear *), pe_rv32_linear t, size_t first, size_t blocks)
{
    t.w += first * t.k;
    t.q += first;
    t.y += first;
    t.blocks = (uint32_t)blocks;
    kernel(&t);
}

/* Twelve rows of w at a time; the last rows of w overlap with those before where their number is no multiple. */
void pe_rv32_linear_s8(const pe_rv32_linear *t, size_t n)
{
    const size_t left = n < 12 ? n - 8 : n % 12; /* after the first rows */
    rows(n < 12 ? pe_rv32_linear8_s8 : pe_rv32_linear12_s8, *t, 0, n < 12 ? 1 : n / 12);
    if (left > 8)
        rows(pe_rv32_linear12_s8, *t, n - 12, 1);
    else if (left)
        rows(pe_rv32_linear8_s8, *t, n - 8, 1);
}

bool pe_linear_s8__rv32(const pe_call *c)
{
    const pe_linear_params *p = c->params;
    const size_t m = (size_t)c->tensor[0]->dims[0], n = (size_t)c->tensor[1]->dims[0];
    if (p->rounding != PE_ROUND_TFLITE || n < 8 || !pe_shifts_are_short(c->data[2], n))
        return false;
    pe_rv32_linear t = {
        .x = c->data[0],
        .w = c->data[1],
        .q = c->data[2],
        .y = c->data[3],
        .k = (uint32_t)c->tensor[1]->dims[1],
        .offset = 2 * p->y_zero_point + 1,
        .min = p->y_min,
        .max = p->y_max,
    };
    for (size_t i = 0; i < m; i++, t.x += t.k, t.y += n)
        pe_rv32_linear_s8(&t, n);
    return true;
}
