/* Windows of convolution and depthwise along one axis: window o, tap i reads position o * stride - pad + i * dilation.
 */
#ifndef PE_WINDOW_H
#define PE_WINDOW_H
#include <stdbool.h>

#include "ops.h"
#if defined __riscv_vector && defined __riscv_v_intrinsic /* a firmware for a core with vectors */
#define PE_RISCV_VECTORS
#include <riscv_vector.h>
#endif

#define PE_WINDOW_LIMIT 32767 /* of stride, dilation and padding on each side: plan_structs.h */
#define PE_SCRATCH_BYTES 2048 /* what an op may ask for in any case */

typedef struct pe_axis {
    int32_t in, out, taps, stride, dilation, pad;
} pe_axis;

/* Strides, dilation and padding are within their limits, on the far side too. Then positions fit into int32. */
static inline bool pe_axis_ok(const pe_axis *a)
{
    if (a->stride < 1 || a->stride > PE_WINDOW_LIMIT || a->dilation < 1 || a->dilation > PE_WINDOW_LIMIT ||
        a->pad < 0 || a->pad > PE_WINDOW_LIMIT)
        return false;
    int64_t end = (int64_t)(a->out - 1) * a->stride + (int64_t)(a->taps - 1) * a->dilation + 1 - a->pad;
    return end <= (int64_t)a->in + PE_WINDOW_LIMIT;
}

/* No window reaches into the padding. */
static inline bool pe_axis_inside(const pe_axis *a)
{
    return a->pad == 0 && (a->out - 1) * a->stride + (a->taps - 1) * a->dilation < a->in;
}

static inline pe_axis pe_axis_h(const pe_conv2d_params *p, const pe_tensor *x, const pe_tensor *y, int32_t taps)
{
    return (pe_axis){x->dims[1], y->dims[1], taps, p->stride_h, p->dilation_h, p->pad_top};
}

static inline pe_axis pe_axis_w(const pe_conv2d_params *p, const pe_tensor *x, const pe_tensor *y, int32_t taps)
{
    return (pe_axis){x->dims[2], y->dims[2], taps, p->stride_w, p->dilation_w, p->pad_left};
}

#ifdef PE_RISCV_VECTORS
static inline void pe_copy_bytes(uint8_t *to, const uint8_t *from, size_t n)
{
    for (size_t vl; n; n -= vl, to += vl, from += vl) {
        vl = __riscv_vsetvl_e8m8(n);
        __riscv_vse8_v_u8m8(to, __riscv_vle8_v_u8m8(from, vl), vl);
    }
}

static inline void pe_fill_bytes(void *to, uint8_t value, size_t n)
{
    uint8_t *d = to;
    for (size_t vl; n; n -= vl, d += vl) {
        vl = __riscv_vsetvl_e8m8(n);
        __riscv_vse8_v_u8m8(d, __riscv_vmv_v_x_u8m8(value, vl), vl);
    }
}
#else
/* Copies n bytes, by words where both ends and n allow it. The places do not overlap. */
static inline void pe_copy_bytes(uint8_t *to, const uint8_t *from, size_t n)
{
    if (((uintptr_t)to | (uintptr_t)from | n) % 4 == 0) {
        for (const uint8_t *end = from + (n & ~(size_t)15); from != end; from += 16, to += 16)
            __builtin_memcpy(__builtin_assume_aligned(to, 4), __builtin_assume_aligned(from, 4), 16);
        for (n &= 15; n; n -= 4, from += 4, to += 4)
            __builtin_memcpy(__builtin_assume_aligned(to, 4), __builtin_assume_aligned(from, 4), 4);
        return;
    }
    for (const uint8_t *end = from + (n & ~(size_t)3); from != end; from += 4, to += 4) {
        const uint8_t b0 = from[0], b1 = from[1], b2 = from[2], b3 = from[3];
        to[0] = b0;
        to[1] = b1;
        to[2] = b2;
        to[3] = b3;
    }
    for (n &= 3; n; n--)
        *to++ = *from++;
}

static inline void pe_fill_bytes(void *to, uint8_t value, size_t n)
{
    for (uint8_t *d = to; n; n--)
        *d++ = value;
}
#endif
#endif
