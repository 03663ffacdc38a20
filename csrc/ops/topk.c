#include "axis.h"
#include "order.h"

/* topk: along one axis the k largest or smallest elements and where they are; of equal ones the first come first; NaN
 * comes before all. Any dtype. A heap of k places keeps the best seen so far: n log k comparisons. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_order_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1], *index = c->tensor[2];
    *text = "topk: dtypes";
    if (x->dtype != y->dtype || (index->dtype != PE_S32 && index->dtype != PE_S64))
        return PE_ERR_SHAPE;
    *text = "topk: values and indices are not x with k elements along the axis";
    if (p->axis >= x->rank || y->rank != x->rank || index->rank != x->rank)
        return PE_ERR_SHAPE;
    uint32_t k = (uint32_t)y->dims[p->axis];
    if (k > (uint32_t)x->dims[p->axis] || !pe_axis_fits(x, y, p->axis, k) || !pe_axis_fits(x, index, p->axis, k))
        return PE_ERR_SHAPE;
    *text = "topk: k is too large";
    if (k > PE_MAX_EXTENT / sizeof(uint32_t))
        return PE_ERR_SHAPE;
    *scratch_bytes = k * (uint32_t)sizeof(uint32_t);
    return PE_OK;
}

typedef struct row {
    const void *x;
    uint32_t start, stride; /* elements */
    uint8_t dtype;
    bool smallest, by_index;
} row;

/* Whether element a comes before element b. */
static bool before(const row *r, uint32_t a, uint32_t b)
{
    int64_t ka = pe_order_key(r->x, r->dtype, r->start + a * r->stride, r->smallest);
    int64_t kb = pe_order_key(r->x, r->dtype, r->start + b * r->stride, r->smallest);
    return ka > kb || (ka == kb && a < b);
}

/* Puts v into the heap of n places whose root, at i, is free; the root is the element that comes last. */
static void sift(const row *r, uint32_t *heap, uint32_t n, uint32_t i, uint32_t v)
{
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && (r->by_index ? heap[child + 1] > heap[child] : before(r, heap[child], heap[child + 1])))
            child++;
        if (r->by_index ? v > heap[child] : before(r, heap[child], v))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = v;
}

static void build(const row *r, uint32_t *heap, uint32_t n)
{
    for (uint32_t i = n / 2; i > 0; i--)
        sift(r, heap, n, i - 1, heap[i - 1]);
}

static void run(const pe_call *c)
{
    const pe_order_params *p = c->params;
    uint32_t *heap = c->scratch, shift = pe_dtype_shift(c->tensor[0]->dtype);
    uint32_t k = (uint32_t)c->tensor[1]->dims[p->axis];
    pe_axis a = pe_axis_of(c->tensor[0], p->axis);
    for (uint32_t o = 0; o < a.outer; o++) {
        for (uint32_t i = 0; i < a.inner; i++) {
            row r = {c->data[0], o * a.n * a.inner + i, a.inner, c->tensor[0]->dtype, p->smallest != 0, false};
            for (uint32_t e = 0; e < k; e++)
                heap[e] = e;
            build(&r, heap, k);
            for (uint32_t e = k; e < a.n; e++) {
                if (before(&r, e, heap[0]))
                    sift(&r, heap, k, 0, e);
            }
            if (p->by_index) {
                r.by_index = true;
                build(&r, heap, k);
            }
            for (uint32_t e = k; e > 0; e--) { /* the root comes last */
                uint32_t last = heap[0], to = (o * k + e - 1) * a.inner + i;
                sift(&r, heap, e - 1, 0, heap[e - 1]);
                pe_move_element(c->data[1], to, c->data[0], r.start + last * r.stride, shift);
                pe_store_index(c->data[2], c->tensor[2]->dtype, to, last);
            }
        }
    }
}

const pe_op_def pe_op_def_topk = {
    .kind = PE_OP_TOPK,
    .params_bytes = sizeof(pe_order_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 2,
    .name = "topk",
    .check = check,
    .run = run,
};
