#include "kernels/armv7em/armv7em.h"
#include "ops/ops.h"

/* linear_s8 with weights in mixed rows by fours; what is left of the rows is not mixed. */

enum { ROWS = 4 };

/* Four channels from their sums. */
static void requantize(const pe_armv7em_linear *t, uint32_t k, const pe_output_s8 *out)
{
    uint32_t sums[ROWS];
    pe_armv7em_linear quad = *t;
    quad.loop = PE_ARMV7EM_LINEAR_LOOP(k, true);
    quad.sums = sums;
    pe_armv7em_linear_s8(&quad);
    for (uint32_t r = 0; r < ROWS; r++)
        t->y[r] = pe_armv7em_output(sums[r ^ 1], t->q + r, out);
}

/* One output at a time, for a plan that gives no scratch. */
static void run_plain(const int8_t *x, const int8_t *w, const pe_channel *q, uint32_t n, uint32_t k,
                      const pe_output_s8 *out, int8_t *y)
{
    for (uint32_t c = 0; c < n; c++) {
        uint32_t sum = (uint32_t)q[c].bias;
        for (uint32_t i = 0; i < k; i++)
            sum += (uint32_t)(x[i] * pe_armv7em_weight(w + (c & ~3u) * k, 2, k, c % ROWS, i));
        y[c] = pe_armv7em_output(sum, q + c, out);
    }
}

bool pe_linear_s8__armv7em(const pe_call *c)
{
    const pe_linear_params *p = c->params;
    const pe_tensor *w = c->tensor[1];
    const uint32_t m = (uint32_t)c->tensor[0]->dims[0], n = (uint32_t)w->dims[0], k = (uint32_t)w->dims[1];
    const uint32_t mixed = n & ~3u;
    if (w->layout != PE_LAYOUT_MIXED_ROWS)
        return false;
    const pe_output_s8 out = {p->y_zero_point, p->y_min, p->y_max};
    const pe_channel *const q = c->data[2];
    const int8_t *x = c->data[0], *const weights = c->data[1];
    int8_t *y = c->data[3];
    for (uint32_t row = 0; row < m; row++, x += k, y += n) {
        if (c->scratch_bytes < 2 * (uint64_t)k) {
            run_plain(x, weights, q, mixed, k, &out, y);
        } else if (mixed) {
            pe_armv7em_linear t = {
                .x = c->scratch,
                .q = q,
                .y = y,
                .y_end = y + mixed,
                .offset = 2 * out.zero_point + 1,
                .loop = PE_ARMV7EM_LINEAR_LOOP(k, false),
                .w = weights,
            };
            pe_armv7em_widen1(x, c->scratch, k);
            while ((t.y = pe_armv7em_linear_s8(&t)) != t.y_end) {
                const size_t done = (size_t)(t.y - y);
                t.q = q + done;
                t.w = weights + done * k;
                requantize(&t, k, &out);
                t.y += ROWS, t.q += ROWS, t.w += ROWS * k;
                if (t.y == t.y_end)
                    break;
            }
            pe_armv7em_clamp(y, mixed, &out);
        }
        if (n > mixed)
            c->kernels->gemm_s8(1, n - mixed, k, x, k, weights + mixed * k, q + mixed, &out, y + mixed, n);
    }
    return true;
}
