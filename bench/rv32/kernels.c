/* Instructions per multiply-accumulate of conv2d, depthwise and linear on a bare rv32 core (QEMU virt, -icount shift=0).
 *
 * Each int8 shape is compared with a plain loop in 64-bit arithmetic; a difference is printed and ends with an error. */
#include "kernels/kernels.h"
#include "ops/ops.h"

extern const pe_op_def pe_op_def_conv2d_s8, pe_op_def_conv2d_f32, pe_op_def_depthwise_s8, pe_op_def_depthwise_f32,
    pe_op_def_linear_s8, pe_op_def_linear_f32;

void put(char c)
{
    *(volatile uint8_t *)0x10000000 = (uint8_t)c;
}

static void exit_emulator(int failed)
{
    *(volatile uint32_t *)0x100000 = failed ? 0x13333 : 0x5555;
}

void trap(void)
{
    put('!');
    put('\n');
    exit_emulator(1);
}

static void text(const char *s, int width)
{
    for (; *s; s++, width--)
        put(*s);
    for (; width > 0; width--)
        put(' ');
}

static void number(uint32_t n, int width)
{
    char digits[10];
    int i = 0;
    do
        digits[i++] = (char)('0' + n % 10);
    while (n /= 10);
    for (; width > i; width--)
        put(' ');
    while (i)
        put(digits[--i]);
}

static uint32_t instructions(void)
{
    uint32_t n;
    __asm__ volatile("csrr %0, minstret" : "=r"(n)::"memory");
    return n;
}

static uint32_t state = 1;

static int32_t random_below(int32_t n)
{
    state = state * 1664525 + 1013904223;
    return (int32_t)((uint64_t)state * (uint32_t)n >> 32);
}

enum { CONV, DEPTHWISE, LINEAR };

typedef struct shape {
    const char *name;
    int op, h, w, c, kh, kw, stride, pad, ho, wo, co;
} shape;

/* Of the MLPerf Tiny networks: ic (ResNet8), kws (DS-CNN), vww (MobileNetV1 0.25), ad (autoencoder). */
static const shape shapes[] = {
    {"ic  conv 3x3 3-16 32x32", CONV, 32, 32, 3, 3, 3, 1, 1, 32, 32, 16},
    {"ic  conv 3x3 16-16 32x32", CONV, 32, 32, 16, 3, 3, 1, 1, 32, 32, 16},
    {"ic  conv 3x3 s2 16-32 16x16", CONV, 32, 32, 16, 3, 3, 2, 0, 16, 16, 32},
    {"ic  conv 3x3 64-64 8x8", CONV, 8, 8, 64, 3, 3, 1, 1, 8, 8, 64},
    {"ic  conv 1x1 s2 32-64 8x8", CONV, 16, 16, 32, 1, 1, 2, 0, 8, 8, 64},
    {"kws conv 10x4 s2 1-64 25x5", CONV, 49, 10, 1, 10, 4, 2, 4, 25, 5, 64},
    {"kws conv 1x1 64-64 25x5", CONV, 25, 5, 64, 1, 1, 1, 0, 25, 5, 64},
    {"kws dw 3x3 64 25x5", DEPTHWISE, 25, 5, 64, 3, 3, 1, 1, 25, 5, 64},
    {"kws linear 64-12", LINEAR, 1, 1, 64, 1, 1, 1, 0, 1, 1, 12},
    {"vww conv 3x3 s2 3-8 48x48", CONV, 96, 96, 3, 3, 3, 2, 0, 48, 48, 8},
    {"vww dw 3x3 8 48x48", DEPTHWISE, 48, 48, 8, 3, 3, 1, 1, 48, 48, 8},
    {"vww conv 1x1 8-16 48x48", CONV, 48, 48, 8, 1, 1, 1, 0, 48, 48, 16},
    {"vww dw 3x3 s2 16 24x24", DEPTHWISE, 48, 48, 16, 3, 3, 2, 0, 24, 24, 16},
    {"vww conv 1x1 16-32 24x24", CONV, 24, 24, 16, 1, 1, 1, 0, 24, 24, 32},
    {"vww dw 3x3 128 6x6", DEPTHWISE, 6, 6, 128, 3, 3, 1, 1, 6, 6, 128},
    {"vww conv 1x1 128-128 6x6", CONV, 6, 6, 128, 1, 1, 1, 0, 6, 6, 128},
    {"vww dw 3x3 256 3x3", DEPTHWISE, 3, 3, 256, 3, 3, 1, 1, 3, 3, 256},
    {"vww conv 1x1 256-256 3x3", CONV, 3, 3, 256, 1, 1, 1, 0, 3, 3, 256},
    {"ad  linear 640-128", LINEAR, 1, 1, 640, 1, 1, 1, 0, 1, 1, 128},
    {"ad  linear 128-128", LINEAR, 1, 1, 128, 1, 1, 1, 0, 1, 1, 128},
    {"    dw 5x5 16 16x16", DEPTHWISE, 16, 16, 16, 5, 5, 1, 2, 16, 16, 16},
};

static union {
    int8_t s8[128 * 1024];
    float f32[32 * 1024];
} x, w, y, packed;
static int32_t q[256 * 3];
static float bias[256];
static _Alignas(16) uint8_t scratch[64 * 1024];

static pe_tensor tensor(uint8_t dtype, uint8_t rank, int d0, int d1, int d2, int d3)
{
    uint32_t element = dtype == PE_S8 ? 1 : 4;
    return (pe_tensor){
        .dtype = dtype, .rank = rank, .dims = {d0, d1, d2, d3, 1, 1}, .bytes = (uint32_t)(d0 * d1 * d2 * d3) * element};
}

static int8_t expected(const shape *s, int oy, int ox, int o, int x_zero_point, const pe_output_s8 *out)
{
    uint32_t sum = (uint32_t)q[3 * o];
    for (int i = 0; i < s->kh; i++)
        for (int j = 0; j < s->kw; j++) {
            int iy = oy * s->stride - s->pad + i, ix = ox * s->stride - s->pad + j;
            int inside = iy >= 0 && iy < s->h && ix >= 0 && ix < s->w;
            const int8_t *pixel = x.s8 + (iy * s->w + ix) * s->c;
            if (s->op == DEPTHWISE) {
                sum += (uint32_t)((inside ? pixel[o] : x_zero_point) * w.s8[(i * s->kw + j) * s->co + o]);
                continue;
            }
            for (int c = 0; c < s->c; c++)
                sum += (uint32_t)((inside ? pixel[c] : x_zero_point) * w.s8[((o * s->kh + i) * s->kw + j) * s->c + c]);
        }
    return pe_requantize_s8(sum, q[3 * o + 1], q[3 * o + 2], out);
}

/* w [n][k] in interleaved rows (docs/plan.md) to packed. */
static void interleave(size_t n, size_t k)
{
    int8_t *to = packed.s8;
    for (size_t row = 0, rows; row < n; row += rows) {
        rows = n - row >= 16 ? 16 : n - row >= 4 ? 4 : 1;
        for (size_t i = 0; i < k; i++)
            for (size_t r = 0; r < rows; r++)
                *to++ = (int8_t)(w.s8[(row + r) * k + i] ^ (rows > 1 ? -128 : 0));
    }
}

/* One shape; returns whether a byte differs. */
static int measure(const shape *s, int is_float)
{
    const uint8_t dtype = is_float ? PE_F32 : PE_S8;
    const pe_op_def *def = s->op == CONV        ? is_float ? &pe_op_def_conv2d_f32 : &pe_op_def_conv2d_s8
                           : s->op == DEPTHWISE ? is_float ? &pe_op_def_depthwise_f32 : &pe_op_def_depthwise_s8
                           : is_float           ? &pe_op_def_linear_f32
                                                : &pe_op_def_linear_s8;
    const int taps = s->kh * s->kw, k = s->op == DEPTHWISE ? taps : taps * s->c;
    pe_output_s8 out = {-3, -128, 127};
    pe_conv2d_params conv = {.stride_h = s->stride,
                             .stride_w = s->stride,
                             .dilation_h = 1,
                             .dilation_w = 1,
                             .pad_top = s->pad,
                             .pad_left = s->pad,
                             .groups = s->op == CONV,
                             .x_zero_point = 5,
                             .y_zero_point = out.zero_point,
                             .y_min = out.min,
                             .y_max = out.max,
                             .f_max = 6};
    pe_linear_params linear = {.y_zero_point = out.zero_point, .y_min = out.min, .y_max = out.max, .f_max = 6};
    pe_tensor tx = tensor(dtype, 4, 1, s->h, s->w, s->c), ty = tensor(dtype, 4, 1, s->ho, s->wo, s->co);
    pe_tensor tw = tensor(dtype, 4, s->co, s->kh, s->kw, s->c), tq = tensor(PE_S32, 2, s->co, 3, 1, 1);
    if (s->op == DEPTHWISE)
        tw = tensor(dtype, 3, s->kh, s->kw, s->co, 1);
    if (s->op == LINEAR) {
        tx = tensor(dtype, 2, 1, s->c, 1, 1);
        tw = tensor(dtype, 2, s->co, s->c, 1, 1);
        ty = tensor(dtype, 2, 1, s->co, 1, 1);
    }
    if (is_float)
        tq = tensor(PE_F32, 1, s->co, 1, 1, 1);
    pe_call call = {.kernels = pe_kernels_best(0),
                    .params = s->op == LINEAR ? (const void *)&linear : &conv,
                    .inputs = 3,
                    .outputs = 1,
                    .tensor = {&tx, &tw, &tq, &ty},
                    .data = {&x, &w, is_float ? (void *)bias : q, &y},
                    .scratch = scratch};
    const char *why;
    if (def->check(&call, &call.scratch_bytes, &why) != PE_OK || call.scratch_bytes > sizeof scratch ||
        tx.bytes > sizeof x || tw.bytes > sizeof w || ty.bytes > sizeof y) {
        text(why ? why : "too large", 0);
        put('\n');
        return 1;
    }
    for (uint32_t i = 0; i < tx.bytes / (is_float ? 4 : 1); i++)
        is_float ? (void)(x.f32[i] = (float)(random_below(2001) - 1000) / 1024)
                 : (void)(x.s8[i] = (int8_t)(random_below(256) - 128));
    for (uint32_t i = 0; i < tw.bytes / (is_float ? 4 : 1); i++)
        is_float ? (void)(w.f32[i] = (float)(random_below(2001) - 1000) / 1024)
                 : (void)(w.s8[i] = (int8_t)(random_below(255) - 127));
    int shift = 5; /* outputs of some tens */
    for (int n = k; n > 4; n /= 4)
        shift++;
    for (int o = 0; o < s->co; o++) {
        q[3 * o] = random_below(20000) - 10000;
        q[3 * o + 1] = 0x40000000 + random_below(0x40000000);
        q[3 * o + 2] = shift + random_below(2);
        bias[o] = (float)(random_below(2001) - 1000) / 1024;
    }
    if (s->op == LINEAR && !is_float && pe_kernels_take(PE_LAYOUT_INTERLEAVED_ROWS)) {
        interleave((size_t)s->co, (size_t)k);
        tw.layout = PE_LAYOUT_INTERLEAVED_ROWS;
        call.data[1] = &packed;
    }

    const uint32_t asked = call.scratch_bytes;
    call.scratch_bytes = sizeof scratch;
    uint32_t before = instructions();
    def->run(&call);
    uint32_t count = instructions() - before, macs = (uint32_t)(s->ho * s->wo * s->co * k);
    uint32_t milli = (uint32_t)((uint64_t)count * 1000 / macs);
    text(s->name, 30);
    text(is_float ? "f32" : "s8", 4);
    number(macs, 9);
    number(count, 10);
    number(milli / 1000, 6);
    put('.');
    put((char)('0' + milli / 100 % 10));
    put((char)('0' + milli / 10 % 10));
    put((char)('0' + milli % 10));
    number(asked, 7);
    int differences = 0;
    if (!is_float)
        for (int oy = 0, i = 0; oy < s->ho; oy++)
            for (int ox = 0; ox < s->wo; ox++)
                for (int o = 0; o < s->co; o++)
                    differences += y.s8[i++] != expected(s, oy, ox, o, conv.x_zero_point, &out);
    text(differences ? " WRONG" : "", 0);
    put('\n');
    return differences != 0;
}

int main(void)
{
    int failed = 0;
    text("shape                         type     MACs instructions per MAC scratch\n", 0);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        failed |= measure(&shapes[i], 0);
    failed |= measure(&shapes[6], 1);
    failed |= measure(&shapes[7], 1);
    failed |= measure(&shapes[8], 1);
    exit_emulator(failed);
    return 0;
}
