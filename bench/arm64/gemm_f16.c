/* Products with float16 weights: instructions per MAC of the micro-kernels' loops and of whole calls, and the error of the
 * modes, as Markdown tables. Under QEMU with the plugin icount.c. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "icount.h"
#include "kernels/f16.h"
#include "kernels/neon/gemm_f16.h"
#include "pyedge.h"

static const volatile uint64_t *count;

static double normal(void)
{
    static uint64_t state = 1;
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(state >> 11) * 0x1p-53;
    }
    return sum - 6;
}

static void *aligned(size_t bytes)
{
    void *p = aligned_alloc(PE_PLAN_ALIGN, (bytes + PE_PLAN_ALIGN - 1) / PE_PLAN_ALIGN * PE_PLAN_ALIGN);
    if (!p) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return memset(p, 0, bytes);
}

/* y[m, n] = x[m, k] * w[n, k] by a layer kernel. */
typedef struct product {
    pe_tensor x, w, y;
    pe_linear_params params;
    const pe_layer *layer;
    uint8_t *arena, *packed, *work;
    uint16_t *weights;
} product;

static size_t elements(const pe_tensor *t)
{
    return (size_t)t->dims[0] * (size_t)t->dims[1];
}

static void put(void *to, uint8_t dtype, size_t i, double value)
{
    if (dtype == PE_F16)
        ((uint16_t *)to)[i] = pe_f16_round((float)value);
    else
        ((float *)to)[i] = (float)value;
}

static double get(const void *from, uint8_t dtype, size_t i)
{
    return dtype == PE_F16 ? (double)pe_f16_widen(((const uint16_t *)from)[i]) : (double)((const float *)from)[i];
}

/* A row of the tables. */
typedef struct mode {
    const char *name;
    int32_t rounding;
    uint32_t features;      /* what kernels may need */
    pe_gemm_panel_fn *gemm; /* 8 x nr */
    size_t nr;
} mode;

/* Of normal numbers, x by their magnitude if is_positive. False: no kernel. */
static bool make(product *p, int32_t m, int32_t n, int32_t k, const mode *mode, uint8_t dtype, bool is_positive)
{
    const uint32_t element = dtype == PE_F16 ? 2 : 4, x_bytes = (uint32_t)(m * k) * element;
    *p = (product){
        .x = {.dtype = dtype, .kind = PE_TENSOR_ARENA, .rank = 2, .dims = {m, k, 1, 1, 1, 1}, .bytes = x_bytes},
        .w = {.dtype = PE_F16, .kind = PE_TENSOR_CONST, .rank = 2, .dims = {n, k, 1, 1, 1, 1}},
        .y = {.dtype = dtype, .kind = PE_TENSOR_ARENA, .rank = 2, .dims = {m, n, 1, 1, 1, 1}},
        .params = {.rounding = mode->rounding, .f_min = -INFINITY, .f_max = INFINITY},
    };
    p->y.offset = (x_bytes + 63) / 64 * 64;
    p->y.bytes = (uint32_t)(m * n) * element;
    p->w.bytes = (uint32_t)(n * k) * 2;
    p->arena = aligned(p->y.offset + p->y.bytes);
    p->weights = aligned(p->w.bytes);
    for (size_t i = 0; i < elements(&p->x); i++) {
        const double value = normal();
        put(p->arena, dtype, i, is_positive ? fabs(value) : value);
    }
    for (size_t i = 0; i < elements(&p->w); i++)
        put(p->weights, PE_F16, i, normal() / sqrt(k));
    const pe_call c = {.params = &p->params,
                       .inputs = 2,
                       .outputs = 1,
                       .tensor = {&p->x, &p->w, &p->y},
                       .data = {NULL, p->weights, NULL}};
    for (const pe_listed_layer *l = pe_layers; l->layer; l++) {
        pe_layer_bytes bytes = {0};
        if ((mode->features & l->needs) == l->needs && l->layer->kind == PE_OP_LINEAR_F16 &&
            l->layer->takes(&c, &bytes)) {
            p->layer = l->layer;
            p->packed = aligned(bytes.packed);
            p->work = aligned(bytes.work);
            l->layer->pack(&c, p->packed);
            return true;
        }
    }
    return false;
}

static void discard(product *p)
{
    free(p->arena);
    free(p->weights);
    free(p->packed);
    free(p->work);
}

static uint64_t run(const product *p)
{
    p->layer->run(p->packed, p->arena, p->work);
    const uint64_t before = *count;
    p->layer->run(p->packed, p->arena, p->work);
    return *count - before;
}

static uint64_t instructions(int32_t m, int32_t n, int32_t k, const mode *mode, uint8_t dtype)
{
    product p;
    const uint64_t total = make(&p, m, n, k, mode, dtype, false) ? run(&p) : 0;
    discard(&p);
    return total;
}

/* Root of the mean square of the error over that of y. */
static double error(int32_t k, const mode *mode, bool is_positive)
{
    product p;
    double wrong = 0, all = 0;
    if (make(&p, 64, 64, k, mode, PE_F16, is_positive))
        run(&p);
    for (int32_t row = 0; row < 64; row++)
        for (int32_t column = 0; column < 64; column++) {
            double sum = 0;
            for (int32_t i = 0; i < k; i++)
                sum += get(p.arena, PE_F16, (size_t)(row * k + i)) * get(p.weights, PE_F16, (size_t)(column * k + i));
            const double off = get(p.arena + p.y.offset, PE_F16, (size_t)(row * 64 + column)) - sum;
            wrong += off * off;
            all += sum * sum;
        }
    discard(&p);
    return sqrt(wrong / all);
}

/* Not inlined, so that what is around the kernel is the same for each k. */
static __attribute__((noinline)) uint64_t once(pe_gemm_panel_fn *gemm, size_t n, size_t k)
{
    static _Alignas(64) float x[PE_PANEL_ROWS * 1024], w[16 * 1024], bias[16], sums[PE_PANEL_ROWS * 16];
    const uint64_t before = *count;
    gemm(k, x, w, 0, bias, sums, n * sizeof *sums);
    return *count - before;
}

/* Of a micro-kernel with tiles of 8 x n, from k to more of k, per MAC. */
static double loop(pe_gemm_panel_fn *gemm, size_t n, size_t k, size_t more)
{
    const uint64_t less = once(gemm, n, k);
    return (double)(once(gemm, n, more) - less) / (double)((more - k) * PE_PANEL_ROWS * n);
}

pe_gemm_panel_fn pe_gemm_f16__neon_8x8, pe_gemm_f16__fhm_8x8, pe_gemm_fast16__fp16_8x16;

static const mode modes[] = {
    {"exact", PE_ROUND_EXACT, PE_CPU_NEON, pe_gemm_f16__neon_8x8, 8},
    {"exact, FEAT_FHM", PE_ROUND_EXACT, PE_CPU_NEON | PE_CPU_FHM, pe_gemm_f16__fhm_8x8, 8},
    {"fast16", PE_ROUND_FAST16, PE_CPU_NEON | PE_CPU_FP16, pe_gemm_fast16__fp16_8x16, 16},
};
enum { EXACT, FAST16 = 2, MODES };

static bool has(const mode *m)
{
    return (pe_cpu_features() & m->features) == m->features;
}

static void products(const mode *m)
{
    static const int32_t sizes[] = {64, 128, 256, 512};
    printf("| %s | %.4f | %.4f |", m->name, loop(m->gemm, m->nr, 8, 16), loop(m->gemm, m->nr, 32, 64));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const double macs = pow(sizes[i], 3);
        for (uint8_t dtype = PE_F32; dtype; dtype = dtype == PE_F32 ? PE_F16 : 0)
            printf("%s%.4f", dtype == PE_F32 ? " " : " / ",
                   (double)instructions(sizes[i], sizes[i], sizes[i], m, dtype) / macs);
        printf(" |");
    }
    printf("\n");
}

static void few_rows(const mode *m)
{
    printf("| %s |", m->name);
    for (int32_t rows = 1; rows <= 8; rows *= 2)
        printf(" %.4f |", (double)instructions(rows, 512, 512, m, PE_F16) / (rows * 512.0 * 512));
    printf("\n");
}

int main(void)
{
    static const int32_t depths[] = {32, 256, 1024, 4096, 16384};
    count = icount_open();
    printf(
        "| mode | loop | 32 of k | 64^3, float32 / float16 | 128^3 | 256^3 | 512^3 |\n|---|---|---|---|---|---|---|\n");
    for (const mode *m = modes; m < modes + MODES; m++)
        if (has(m))
            products(m);
    printf("\n| mode | 1 row | 2 | 4 | 8 |\n|---|---|---|---|---|\n");
    for (const mode *m = modes; m < modes + MODES; m++)
        if (has(m))
            few_rows(m);
    if (!has(&modes[FAST16]))
        return 0;
    printf("\n| K | fast16 | fast16, x positive | exact |\n|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        const int32_t k = depths[i];
        printf("| %" PRId32 " | %.1e | %.1e | %.1e |\n", k, error(k, &modes[FAST16], false),
               error(k, &modes[FAST16], true), error(k, &modes[EXACT], false));
    }
    return 0;
}
