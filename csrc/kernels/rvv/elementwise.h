#include "kernels/f16.h"
#include "kernels/rvv/rvv.h"
#include "ops/check.h"
#include "ops/reduce.h"
#include "ops/trim.h"
#include "ops/update.h"

/* What a network and a step of training do besides products, on floats and, with Zvfh, float16: kernels.h, pe_elementwise.
 * Elements lie across the vectors. PE_ARCH(name): of the arch that includes this. */

#ifdef __riscv_zvfh
#define HAS_F16 true
#else
#define HAS_F16 false
#endif
#define INLINE static inline __attribute__((always_inline))

static bool is_f16(const pe_tensor *t)
{
    return t->dtype == PE_F16;
}

/* `vl` elements from `at` on; float16 is widened, which is exact. */
INLINE vfloat32m8_t load(const void *x, size_t at, bool is_f16, size_t vl)
{
#ifdef __riscv_zvfh
    if (is_f16)
        return __riscv_vfwcvt_f_f_v_f32m8(__riscv_vle16_v_f16m4((const _Float16 *)x + at, vl), vl);
#endif
    (void)is_f16;
    return __riscv_vle32_v_f32m8((const float *)x + at, vl);
}

INLINE void store(void *y, size_t at, vfloat32m8_t v, bool is_f16, size_t vl)
{
#ifdef __riscv_zvfh
    if (is_f16) {
        __riscv_vse16_v_f16m4((_Float16 *)y + at, __riscv_vfncvt_f_f_w_f16m4(v, vl), vl);
        return;
    }
#endif
    (void)is_f16;
    __riscv_vse32_v_f32m8((float *)y + at, v, vl);
}

/* add, of equal shapes */

INLINE void add_run(const pe_call *c, const bool half)
{
    const pe_add_params *p = c->params;
    const size_t n = pe_tensor_elements(c->tensor[2]);
    const void *const a = c->data[0], *const b = c->data[1];
    const float min = p->f_min, max = p->f_max;
    void *const y = c->data[2];
    for (size_t vl, i = 0; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m8(n - i);
        const vfloat32m8_t sum = __riscv_vfadd_vv_f32m8(load(a, i, half, vl), load(b, i, half, vl), vl);
        store(y, i, pe_rvv_clip_f32m8(sum, min, max, vl), half, vl);
    }
}

bool PE_ARCH(pe_add_float)(const pe_call *c)
{
    const uint32_t bytes = c->tensor[2]->bytes;
    const bool half = is_f16(c->tensor[2]);
    if (c->tensor[0]->bytes != bytes || c->tensor[1]->bytes != bytes || (half && !HAS_F16))
        return false;
    if (half)
        add_run(c, true);
    else
        add_run(c, false);
    return true;
}

/* mean: elements of y lie across the vectors, where they are neighbours in x */

bool PE_ARCH(pe_mean_float)(const pe_call *c)
{
    const bool half = is_f16(c->tensor[0]);
    pe_loops kept, reduced;
    uint32_t count, at = 0, unused = 0;
    size_t to = 0;
    pe_reduce_loops(c->tensor[0], ((const pe_mean_params *)c->params)->axes, &kept, &reduced, &count);
    if ((half && !HAS_F16) || kept.a[0] != 1)
        return false;
    do {
        for (size_t vl, i = 0; i < kept.n[0]; i += vl, to += vl) {
            vl = __riscv_vsetvl_e32m8(kept.n[0] - i);
            uint32_t xt = at + (uint32_t)i;
            vfloat32m8_t sum = __riscv_vfmv_v_f_f32m8(0, vl);
            do {
                for (uint32_t k = 0; k < reduced.n[0]; k++)
                    sum = __riscv_vfadd_vv_f32m8(sum, load(c->data[0], xt + k * reduced.a[0], half, vl), vl);
            } while (pe_loops_next(&reduced, &xt, &unused));
            store(c->data[1], to, __riscv_vfdiv_vf_f32m8(sum, (float)count, vl), half, vl);
        }
    } while (pe_loops_next(&kept, &at, &unused));
    return true;
}

/* cast, between float32 and float16 */

bool PE_ARCH(pe_cast_float)(const pe_call *c)
{
    const bool from = is_f16(c->tensor[0]), to = is_f16(c->tensor[1]);
    const size_t n = pe_tensor_elements(c->tensor[1]);
    if (!HAS_F16)
        return false;
    for (size_t vl, i = 0; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m8(n - i);
        store(c->data[1], i, load(c->data[0], i, from, vl), to, vl);
    }
    return true;
}

/* bias_grad */

INLINE void bias_run(const pe_call *c, const bool half)
{
    const pe_tensor *db = c->tensor[c->inputs];
    const float *before = c->inputs > 1 && c->tensor[1] ? c->data[1] : NULL;
    const size_t channels = (size_t)db->dims[0], rows = pe_tensor_elements(c->tensor[0]) / channels;
    for (size_t vl, i = 0; i < channels; i += vl) {
        vl = __riscv_vsetvl_e32m8(channels - i);
        vfloat32m8_t sum = before ? load(before, i, false, vl) : __riscv_vfmv_v_f_f32m8(0, vl);
        size_t at = i;
#pragma GCC unroll 4
        for (size_t row = rows; row; row--, at += channels)
            sum = __riscv_vfadd_vv_f32m8(sum, load(c->data[0], at, half, vl), vl);
        store(c->data[c->inputs], i, sum, is_f16(db), vl);
    }
}

bool PE_ARCH(pe_bias_grad)(const pe_call *c)
{
    if (!HAS_F16 && (is_f16(c->tensor[0]) || is_f16(c->tensor[c->inputs])))
        return false;
    if (is_f16(c->tensor[0]))
        bias_run(c, true);
    else
        bias_run(c, false);
    return true;
}

/* clip_grad, clip_mask, mask_grad */

/* Where a gradient passes. Comparisons with NaN are false. */
INLINE vbool4_t inside(const void *y, size_t at, float min, float max, bool half, size_t vl)
{
    const vfloat32m8_t v = load(y, at, half, vl);
    return __riscv_vmand_mm_b4(__riscv_vmfgt_vf_f32m8_b4(v, min, vl), __riscv_vmflt_vf_f32m8_b4(v, max, vl), vl);
}

/* dx = dy or +0, as bits. */
INLINE void pass(void *dx, const void *dy, size_t at, vbool4_t passes, bool half, size_t vl)
{
    if (half) {
        const vuint16m4_t v = __riscv_vle16_v_u16m4((const uint16_t *)dy + at, vl);
        __riscv_vse16_v_u16m4((uint16_t *)dx + at,
                              __riscv_vmerge_vvm_u16m4(__riscv_vmv_v_x_u16m4(0, vl), v, passes, vl), vl);
    } else {
        const vuint32m8_t v = __riscv_vle32_v_u32m8((const uint32_t *)dy + at, vl);
        __riscv_vse32_v_u32m8((uint32_t *)dx + at,
                              __riscv_vmerge_vvm_u32m8(__riscv_vmv_v_x_u32m8(0, vl), v, passes, vl), vl);
    }
}

INLINE void clip_run(const pe_call *c, const bool half, const bool y_half)
{
    const pe_clip_params *p = c->params;
    const size_t n = pe_tensor_elements(c->tensor[0]);
    const void *const dy = c->data[0], *const y = c->data[1];
    const float min = p->f_min, max = p->f_max;
    void *const dx = c->data[2];
    for (size_t vl, i = 0; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m8(n - i);
        pass(dx, dy, i, inside(y, i, min, max, y_half, vl), half, vl);
    }
}

bool PE_ARCH(pe_clip_grad)(const pe_call *c)
{
    const bool half = is_f16(c->tensor[0]), y_half = is_f16(c->tensor[1]);
    if (!HAS_F16 && y_half)
        return false;
    if (half && y_half)
        clip_run(c, true, true);
    else if (!half && !y_half)
        clip_run(c, false, false);
    else
        clip_run(c, half, y_half);
    return true;
}

/* A vector has a multiple of 8 lanes but the last, of whose bits beyond the elements nothing is known. */
INLINE size_t whole_bytes(size_t left)
{
    const size_t most = __riscv_vsetvlmax_e32m8();
    return __riscv_vsetvl_e32m8(left < most ? left : most);
}

bool PE_ARCH(pe_clip_mask)(const pe_call *c)
{
    const size_t n = pe_tensor_elements(c->tensor[0]);
    const bool half = is_f16(c->tensor[0]);
    const pe_clip_params *p = c->params;
    uint8_t *bits = c->data[1];
    if ((!HAS_F16 && half) || __riscv_vsetvlmax_e32m8() % 8)
        return false;
    for (size_t vl, i = 0; i < n; i += vl) {
        vl = whole_bytes(n - i);
        __riscv_vsm_v_b4(bits + i / 8, inside(c->data[0], i, p->f_min, p->f_max, half, vl), vl);
    }
    if (n % 8)
        bits[n / 8] &= (uint8_t)((1u << n % 8) - 1);
    return true;
}

bool PE_ARCH(pe_mask_grad)(const pe_call *c)
{
    const size_t n = pe_tensor_elements(c->tensor[0]);
    const bool half = is_f16(c->tensor[0]);
    if (__riscv_vsetvlmax_e32m8() % 8)
        return false;
    for (size_t vl, i = 0; i < n; i += vl) {
        vl = whole_bytes(n - i);
        pass(c->data[2], c->data[0], i, __riscv_vlm_v_b4((const uint8_t *)c->data[1] + i / 8, vl), half, vl);
    }
    return true;
}

/* sum_squares */

enum { SQUARES = 16 }; /* sums, of which docs/arithmetic.md speaks */

bool PE_ARCH(pe_sum_squares)(const pe_call *c)
{
    const bool half = is_f16(c->tensor[0]);
    const size_t n = pe_tensor_elements(c->tensor[0]);
    float *const y = c->data[c->inputs];
    if ((!HAS_F16 && half) || __riscv_vsetvlmax_e32m8() < SQUARES)
        return false;
    vfloat32m8_t sum = __riscv_vfmv_v_f_f32m8(0, SQUARES);
    for (size_t vl, i = 0; i < n; i += vl) {
        vl = n - i < SQUARES ? n - i : SQUARES;
        const vfloat32m8_t x = load(c->data[0], i, half, vl);
        sum = __riscv_vfadd_vv_f32m8_tu(sum, sum, __riscv_vfmul_vv_f32m8(x, x, vl), vl);
    }
    for (size_t width = SQUARES / 2; width; width /= 2)
        sum = __riscv_vfadd_vv_f32m8(sum, __riscv_vslidedown_vx_f32m8(sum, width, SQUARES), width);
    const float all = __riscv_vfmv_f_s_f32m8_f32(sum);
    *y = c->inputs > 1 && c->tensor[1] ? *(const float *)c->data[1] + all : all;
    return true;
}

/* The updates; ops/update.c has them with scalars. */

typedef void rule(const pe_update_params *p, const pe_update *u, bool half, vfloat32m8_t d, size_t i, size_t vl);

/* half: of weights. i: of gradients and moments. */
INLINE void sgd(const pe_update_params *p, const pe_update *u, bool half, vfloat32m8_t d, size_t i, size_t vl)
{
    const vfloat32m8_t w = load(u->w, p->start + i, half, vl);
    store(u->w, p->start + i, __riscv_vfsub_vv_f32m8(w, __riscv_vfmul_vf_f32m8(d, u->lr, vl), vl), half, vl);
}

INLINE void momentum(const pe_update_params *p, const pe_update *u, bool half, vfloat32m8_t d, size_t i, size_t vl)
{
    const vfloat32m8_t before = __riscv_vle32_v_f32m8(u->m + i, vl);
    const vfloat32m8_t m = __riscv_vfadd_vv_f32m8(__riscv_vfmul_vf_f32m8(before, p->momentum, vl), d, vl);
    __riscv_vse32_v_f32m8(u->m + i, m, vl);
    d = p->nesterov ? __riscv_vfadd_vv_f32m8(d, __riscv_vfmul_vf_f32m8(m, p->momentum, vl), vl) : m;
    sgd(p, u, half, d, i, vl);
}

INLINE void adam(const pe_update_params *p, const pe_update *u, bool half, vfloat32m8_t d, size_t i, size_t vl)
{
    const float kept = p->decoupled ? 1.0f - u->lr * p->decay : 1.0f;
    vfloat32m8_t m = __riscv_vle32_v_f32m8(u->m + i, vl), v = __riscv_vle32_v_f32m8(u->v + i, vl);
    m = __riscv_vfadd_vv_f32m8(m, __riscv_vfmul_vf_f32m8(__riscv_vfsub_vv_f32m8(d, m, vl), p->rest_m, vl), vl);
    __riscv_vse32_v_f32m8(u->m + i, m, vl);
    v = __riscv_vfmul_vf_f32m8(v, p->keep_v, vl);
    v = __riscv_vfadd_vv_f32m8(v, __riscv_vfmul_vv_f32m8(__riscv_vfmul_vf_f32m8(d, p->rest_v, vl), d, vl), vl);
    __riscv_vse32_v_f32m8(u->v + i, v, vl);
    v = __riscv_vfdiv_vf_f32m8(__riscv_vfsqrt_v_f32m8(v, vl), u->root, vl);
    m = __riscv_vfdiv_vv_f32m8(m, __riscv_vfadd_vf_f32m8(v, p->epsilon, vl), vl);
    const vfloat32m8_t w = __riscv_vfmul_vf_f32m8(load(u->w, p->start + i, half, vl), kept, vl);
    store(u->w, p->start + i, __riscv_vfsub_vv_f32m8(w, __riscv_vfmul_vf_f32m8(m, u->step_size, vl), vl), half, vl);
}

INLINE void steps(const pe_update_params *p, const pe_update *u, bool half, bool g_half, rule *next)
{
    const bool clips = pe_is_finite(p->clip), decays = !p->decoupled && p->decay != 0.0f;
    for (size_t vl, i = 0; i < u->n; i += vl) {
        vl = __riscv_vsetvl_e32m8(u->n - i);
        vfloat32m8_t d = __riscv_vfmul_vf_f32m8(load(u->g, i, g_half, vl), u->factor, vl);
        if (clips)
            d = pe_rvv_clip_f32m8(d, -p->clip, p->clip, vl);
        if (decays) {
            const vfloat32m8_t w = load(u->w, p->start + i, half, vl);
            d = __riscv_vfadd_vv_f32m8(d, __riscv_vfmul_vf_f32m8(w, p->decay, vl), vl);
        }
        next(p, u, half, d, i, vl);
    }
}

INLINE bool update(const pe_call *c, rule *next)
{
    const pe_update_params *p = c->params;
    if (!HAS_F16 && (is_f16(c->tensor[W]) || is_f16(c->tensor[G])))
        return false;
    if (is_f16(c->tensor[W]) && p->stochastic)
        return false;
    const pe_update u = pe_update_of(c);
    if (!pe_is_finite(u.factor))
        return true;
    if (u.w_is_f16 || u.g_is_f16)
        steps(p, &u, u.w_is_f16, u.g_is_f16, next);
    else
        steps(p, &u, false, false, next);
    return true;
}

bool PE_ARCH(pe_sgd_update)(const pe_call *c)
{
    return update(c, sgd);
}

bool PE_ARCH(pe_momentum_update)(const pe_call *c)
{
    return update(c, momentum);
}

bool PE_ARCH(pe_adam_update)(const pe_call *c)
{
    return update(c, adam);
}

const pe_elementwise PE_ARCH(pe_elementwise) = {
    .add_float = PE_IF_KEPT(add_f32, 1, 0) || PE_IF_KEPT(add_f16, 1, 0) ? PE_ARCH(pe_add_float) : NULL,
    .mean_float = PE_IF_KEPT(mean_f32, 1, 0) || PE_IF_KEPT(mean_f16, 1, 0) ? PE_ARCH(pe_mean_float) : NULL,
    .cast_float = PE_IF_KEPT(cast, PE_ARCH(pe_cast_float), NULL),
    .bias_grad = PE_IF_KEPT(bias_grad, PE_ARCH(pe_bias_grad), NULL),
    .clip_grad = PE_IF_KEPT(clip_grad, PE_ARCH(pe_clip_grad), NULL),
    .clip_mask = PE_IF_KEPT(clip_mask, PE_ARCH(pe_clip_mask), NULL),
    .mask_grad = PE_IF_KEPT(mask_grad, PE_ARCH(pe_mask_grad), NULL),
    .sum_squares = PE_IF_KEPT(sum_squares, PE_ARCH(pe_sum_squares), NULL),
    .sgd_update = PE_IF_KEPT(sgd_update, PE_ARCH(pe_sgd_update), NULL),
    .momentum_update = PE_IF_KEPT(momentum_update, PE_ARCH(pe_momentum_update), NULL),
    .adam_update = PE_IF_KEPT(adam_update, PE_ARCH(pe_adam_update), NULL),
};
