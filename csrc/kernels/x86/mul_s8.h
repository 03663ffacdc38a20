#include "kernels/layers.h"
#include "kernels/x86/s32.h"

/* binary_s8 where it multiplies: operands of one shape, or one that is repeated over the outer axes of the other, as a
 * factor for each channel is. y may be the memory of the operand of its shape. */

typedef struct layer {
    size_t a, b, y; /* in the arena; b in the layer where it is constant */
    size_t rows, n; /* b has n elements, for each row of a */
    bool constant;
    int32_t a_zero, b_zero, multiplier, shift;
    pe_output_s8 out;
    int8_t values[]; /* of a constant b */
} layer;

/* The last dims of y's shape, 1 before. */
static bool is_repeated(const pe_tensor *b, const pe_tensor *y)
{
    bool same = true;
    for (uint32_t k = 0; k < b->rank; k++) {
        same = same && b->dims[b->rank - 1 - k] == y->dims[y->rank - 1 - k];
        if (!same && b->dims[b->rank - 1 - k] != 1)
            return false;
    }
    return true;
}

/* a, of y's shape, and the other operand; false: not a case of this kernel. */
static bool order(const pe_call *c, uint32_t *a)
{
    const pe_binary_s8_params *p = c->params;
    const pe_tensor *y = c->tensor[2];
    *a = c->tensor[0]->bytes == y->bytes && pe_in_arena(c->tensor[0]) ? 0 : 1;
    const pe_tensor *whole = c->tensor[*a], *other = c->tensor[1 - *a];
    return p->function == PE_FN_MUL && whole->bytes == y->bytes && pe_in_arena(whole) && is_repeated(other, y) &&
           (other->bytes == y->bytes || other->bytes >= PE_LANES);
}

static bool takes(const pe_call *c, pe_layer_bytes *bytes)
{
    uint32_t a;
    if (!order(c, &a))
        return false;
    const pe_tensor *b = c->tensor[1 - a];
    bytes->packed = sizeof(layer) + (pe_in_arena(b) ? 0 : b->bytes);
    return true;
}

static void pack(const pe_call *c, void *packed)
{
    const pe_binary_s8_params *p = c->params;
    layer *l = packed;
    uint32_t a;
    order(c, &a);
    const pe_tensor *x = c->tensor[a], *b = c->tensor[1 - a];
    *l = (layer){.a = x->offset,
                 .b = b->offset,
                 .y = c->tensor[2]->offset,
                 .rows = x->bytes / b->bytes,
                 .n = b->bytes,
                 .constant = !pe_in_arena(b),
                 .a_zero = a ? p->b_zero_point : p->a_zero_point,
                 .b_zero = a ? p->a_zero_point : p->b_zero_point,
                 .multiplier = p->y_multiplier,
                 .shift = p->y_shift,
                 .out = {p->y_zero_point, p->y_min, p->y_max}};
    if (l->constant)
        __builtin_memcpy(l->values, c->data[1 - a], l->n);
}

static void run(const void *packed, uint8_t *arena, uint8_t *work)
{
    const layer *l = packed;
    const int8_t *a = (const int8_t *)arena + l->a, *b = l->constant ? l->values : (const int8_t *)arena + l->b;
    int8_t *y = (int8_t *)arena + l->y;
    const pe_factor f = pe_factor_of(l->multiplier, l->shift);
    const pe_iv a_zero = PE_IV(set1_epi32)(l->a_zero), b_zero = PE_IV(set1_epi32)(l->b_zero);
    (void)work;
    for (size_t r = 0; r < l->rows; r++, a += l->n, y += l->n)
        for (size_t i = 0; i < l->n; i += PE_LANES) {
            const size_t rest = l->n - i;
            const pe_iv x = PE_IV(sub_epi32)(pe_iv_load_s8(a + i, rest), a_zero);
            const pe_iv z = PE_IV(sub_epi32)(pe_iv_load_s8(b + i, rest), b_zero);
            pe_iv_store_s8(y + i, pe_iv_output(pe_iv_requantize(PE_IV(mullo_epi32)(x, z), &f), &l->out), rest);
        }
}

const pe_layer PE_LEVEL(pe_layer_mul_s8) = {PE_OP_BINARY_S8, PE_LEVEL_NAME(mul_s8), takes, pack, run};
