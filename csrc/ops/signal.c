#include "kernels/fma.h"
#include "ops.h"

/* The fixed-point ops of an audio front end, one frame a run, with the bits of TFLite Micro's signal library. */

static bool is_vector(const pe_tensor *t, uint8_t dtype, uint32_t elements)
{
    return t->dtype == dtype && pe_tensor_elements(t) == elements;
}

static bool same_shape(const pe_tensor *a, const pe_tensor *b)
{
    if (a->rank != b->rank)
        return false;
    for (uint32_t i = 0; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i])
            return false;
    }
    return true;
}

static int16_t saturate_s16(int32_t x)
{
    return (int16_t)(x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x);
}

/* 1 + the position of the highest 1; of 0: 32, as the count of leading zeros that TFLM's builds have. */
static uint32_t bit_length(uint32_t x)
{
    return x != 0 ? 32 - (uint32_t)__builtin_clz(x) : 32;
}

/* --- signal_window: x[..., n] s16, weights[n] s16 -> y[..., n] s16 --- */

static pe_status check_window(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_signal_shift_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *w = c->tensor[1], *y = c->tensor[2];
    (void)scratch_bytes;
    *text = "signal_window: x, weights and y are not int16 of one last axis, or the shift is not 0 to 31";
    return x->dtype == PE_S16 && y->dtype == PE_S16 && same_shape(x, y) && x->rank >= 1 &&
                   is_vector(w, PE_S16, (uint32_t)x->dims[x->rank - 1]) && p->shift <= 31
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_window(const pe_call *c)
{
    const pe_signal_shift_params *p = c->params;
    const int16_t *x = c->data[0], *w = c->data[1];
    int16_t *y = c->data[2];
    uint32_t n = pe_tensor_elements(c->tensor[0]), width = pe_tensor_elements(c->tensor[1]);
    for (uint32_t i = 0; i < n; i++)
        y[i] = saturate_s16((x[i] * w[i % width]) >> p->shift);
}

/* --- signal_auto_scale: x s16 -> y = x * 2^bits s16, bits[1] s32 --- */

static pe_status check_auto_scale(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    *text = "signal_auto_scale: x and y are not int16 of one shape, or bits is not one int32";
    return c->tensor[0]->dtype == PE_S16 && c->tensor[1]->dtype == PE_S16 && same_shape(c->tensor[0], c->tensor[1]) &&
                   is_vector(c->tensor[2], PE_S32, 1)
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_auto_scale(const pe_call *c)
{
    const int16_t *x = c->data[0];
    int16_t *y = c->data[1], largest = 0;
    uint32_t n = pe_tensor_elements(c->tensor[0]);
    /* Of -32768 the magnitude is -32768 again, and any element replaces it, as in TFLM. */
    for (uint32_t i = 0; i < n; i++) {
        if (x[i] > largest)
            largest = x[i];
        else if (-x[i] > largest)
            largest = (int16_t)-x[i];
    }
    uint32_t length = bit_length((uint32_t)largest);
    int32_t bits = length < 15 ? (int32_t)(15 - length) : 0;
    *(int32_t *)c->data[2] = bits;
    for (uint32_t i = 0; i < n; i++)
        y[i] = (int16_t)(x[i] * (1 << bits));
}

/* --- signal_energy: x[2n] s16, pairs -> y[n] u32; 0 outside start .. end --- */

static pe_status check_energy(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_signal_energy_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    uint32_t n = pe_tensor_elements(y);
    (void)scratch_bytes;
    *text = "signal_energy: x is not int16 of two elements for each uint32 of y, or the range is not inside";
    return x->dtype == PE_S16 && y->dtype == PE_U32 && pe_tensor_elements(x) / 2 == n &&
                   pe_tensor_elements(x) % 2 == 0 && p->start <= p->end && p->end <= n
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_energy(const pe_call *c)
{
    const pe_signal_energy_params *p = c->params;
    const int16_t *x = c->data[0];
    uint32_t *y = c->data[1], n = pe_tensor_elements(c->tensor[1]);
    for (uint32_t i = 0; i < n; i++) {
        int32_t re = x[2 * i], im = x[2 * i + 1];
        y[i] = i >= p->start && i < p->end ? (uint32_t)(re * re) + (uint32_t)(im * im) : 0;
    }
}

/* --- signal_filter_bank: x[n], weights[w] unweights[w], starts[c + 1] weight_starts[c + 1] widths[c + 1] s16 -> y[c]: each
 * bin of a triangle's slope goes to one channel with its weight and to the next with its unweight. x u32, weights s16, y
 * u64, or all three f32 --- */

static pe_status check_bank(const pe_call *c, uint8_t x, uint8_t weight, uint8_t y, const char **text)
{
    const pe_tensor *const *t = c->tensor;
    uint32_t slopes = pe_tensor_elements(t[6]) + 1;
    *text = "signal_filter_bank: dtypes of x and y";
    if (t[0]->dtype != x || t[6]->dtype != y)
        return PE_ERR_SHAPE;
    *text = "signal_filter_bank: weights and unweights do not fit";
    if (t[1]->dtype != weight || !is_vector(t[2], weight, pe_tensor_elements(t[1])))
        return PE_ERR_SHAPE;
    *text = "signal_filter_bank: starts, weight starts and widths are not int16, one more than channels";
    return is_vector(t[3], PE_S16, slopes) && is_vector(t[4], PE_S16, slopes) && is_vector(t[5], PE_S16, slopes)
               ? PE_OK
               : PE_ERR_SHAPE;
}

/* Where slope i lies among the bins and the weights; what is outside is left out, since constants may hold anything. */
typedef struct slope {
    int32_t bin, tap, width;
} slope;

static slope slope_of(const pe_call *c, uint32_t i)
{
    int32_t bins = (int32_t)pe_tensor_elements(c->tensor[0]), taps = (int32_t)pe_tensor_elements(c->tensor[1]);
    int32_t bin = ((const int16_t *)c->data[3])[i], tap = ((const int16_t *)c->data[4])[i];
    int32_t width = ((const int16_t *)c->data[5])[i];
    int32_t skip = bin < tap ? -bin : -tap; /* to the first j with both inside */
    if (skip > 0) {
        bin += skip;
        tap += skip;
        width -= skip;
    }
    width = width < bins - bin ? width : bins - bin;
    return (slope){bin, tap, width < taps - tap ? width : taps - tap};
}

static pe_status check_filter_bank(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_bank(c, PE_U32, PE_S16, PE_U64, text);
}

static void run_filter_bank(const pe_call *c)
{
    const uint32_t *x = c->data[0];
    const int16_t *weights = c->data[1], *unweights = c->data[2];
    uint64_t *y = c->data[6], below = 0; /* what the slope before gives to this channel */
    uint32_t channels = pe_tensor_elements(c->tensor[6]);
    for (uint32_t i = 0; i <= channels; i++) {
        slope s = slope_of(c, i);
        uint64_t sum = below;
        below = 0;
        for (int32_t j = 0; j < s.width; j++) {
            sum += (uint64_t)weights[s.tap + j] * x[s.bin + j];
            below += (uint64_t)unweights[s.tap + j] * x[s.bin + j];
        }
        if (i > 0) /* what lies below the first slope belongs to no channel */
            y[i - 1] = sum;
    }
}

static pe_status check_filter_bank_f32(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    (void)scratch_bytes;
    return check_bank(c, PE_F32, PE_F32, PE_F32, text);
}

static void run_filter_bank_f32(const pe_call *c)
{
    const float *x = c->data[0], *weights = c->data[1], *unweights = c->data[2];
    float *y = c->data[6], below = 0;
    uint32_t channels = pe_tensor_elements(c->tensor[6]);
    for (uint32_t i = 0; i <= channels; i++) {
        slope s = slope_of(c, i);
        float sum = below;
        below = 0;
        for (int32_t j = 0; j < s.width; j++) {
            sum = pe_fmaf(weights[s.tap + j], x[s.bin + j], sum);
            below = pe_fmaf(unweights[s.tap + j], x[s.bin + j], below);
        }
        if (i > 0)
            y[i - 1] = sum;
    }
}

/* --- signal_square_root: x u64, bits[1] s32 -> y u32, the nearest root / 2^bits, cut off --- */

static pe_status check_square_root(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_tensor *x = c->tensor[0], *y = c->tensor[2];
    (void)scratch_bytes;
    *text = "signal_square_root: x is not uint64, y not uint32 of its size, or bits not one int32";
    return x->dtype == PE_U64 && is_vector(y, PE_U32, pe_tensor_elements(x)) && is_vector(c->tensor[1], PE_S32, 1)
               ? PE_OK
               : PE_ERR_SHAPE;
}

/* Digit by digit, then to the nearest; what would need a bit more of the half word, or of the word, stays below. */
static uint32_t square_root(uint64_t x)
{
    uint64_t root = 0, rest = x, largest = x >> 32 ? 0xFFFFFFFF : 0xFFFF;
    for (uint64_t bit = (uint64_t)1 << 62; bit != 0; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (uint32_t)(rest > root && root != largest ? root + 1 : root);
}

static void run_square_root(const pe_call *c)
{
    const uint64_t *x = c->data[0];
    const int32_t *bits = c->data[1];
    uint32_t *y = c->data[2], n = pe_tensor_elements(c->tensor[2]);
    for (uint32_t i = 0; i < n; i++)
        y[i] = square_root(x[i]) >> (*bits & 31);
}

/* --- signal_spectral_subtraction: x[c] noise[c] u32 -> y[c] noise[c] u32 --- */

static pe_status check_spectral_subtraction(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_signal_subtraction_params *p = c->params;
    uint32_t channels = pe_tensor_elements(c->tensor[0]);
    (void)scratch_bytes;
    *text = "signal_spectral_subtraction: bits are not 0 to 31, or operands not uint32 of one size";
    for (uint32_t i = 0; i < 4; i++) {
        if (!is_vector(c->tensor[i], PE_U32, channels))
            return PE_ERR_SHAPE;
    }
    return p->smoothing_bits <= 31 && p->bits <= 31 ? PE_OK : PE_ERR_SHAPE;
}

static void run_spectral_subtraction(const pe_call *c)
{
    const pe_signal_subtraction_params *p = c->params;
    const uint32_t *x = c->data[0], *noise = c->data[1];
    uint32_t *y = c->data[2], *next = c->data[3], channels = pe_tensor_elements(c->tensor[0]);
    for (uint32_t i = 0; i < channels; i++) {
        uint32_t signal = x[i] << p->smoothing_bits;
        uint32_t estimate =
            (uint32_t)(((uint64_t)signal * p->smoothing[i % 2] + (uint64_t)noise[i] * p->keep[i % 2]) >> p->bits);
        uint32_t subtracted = estimate < signal ? (signal - estimate) >> p->smoothing_bits : 0;
        uint32_t least = (uint32_t)(((uint64_t)x[i] * p->min_remaining) >> p->bits);
        next[i] = p->clamping && estimate > signal ? signal : estimate;
        y[i] = subtracted > least ? subtracted : least;
    }
}

/* --- signal_pcan: x[c] noise[c] u32, gains[125] s16 -> y[c] u32: per-channel amplitude normalization --- */

#define GAIN_SEGMENTS 32 /* 4 numbers each but for the first two, which are single values */
#define GAIN_ELEMENTS (4 * GAIN_SEGMENTS - 3)
#define SNR_BITS 12
#define OUTPUT_BITS 6

static pe_status check_pcan(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_signal_shift_params *p = c->params;
    uint32_t channels = pe_tensor_elements(c->tensor[0]);
    (void)scratch_bytes;
    *text = "signal_pcan: x, noise and y are not uint32 of one size, gains not 125 int16, or the shift not 0 to 63";
    return is_vector(c->tensor[0], PE_U32, channels) && is_vector(c->tensor[1], PE_U32, channels) &&
                   is_vector(c->tensor[2], PE_S16, GAIN_ELEMENTS) && is_vector(c->tensor[3], PE_U32, channels) &&
                   p->shift <= 63
               ? PE_OK
               : PE_ERR_SHAPE;
}

/* The gain for a noise level: a parabola on each interval between powers of two. */
static int16_t gain_of(uint32_t noise, const int16_t *gains)
{
    if (noise <= 2)
        return gains[noise];
    uint32_t length = bit_length(noise);
    const int16_t *g = gains + 4 * length - 6;
    int32_t fraction = (int32_t)((length < 11 ? noise << (11 - length) : noise >> (length - 11)) & 0x3FF);
    uint32_t slope =
        (uint32_t)((g[2] * fraction) >> 5) + ((uint32_t)g[1] << 5); /* modulo 2^32: constants may hold anything */
    uint32_t rise = slope * (uint32_t)fraction;
    return (int16_t)(((int32_t)(rise + (1 << 14)) >> 15) + g[0]);
}

/* x^2 / 4 below 2, x - 1 above. */
static uint32_t shrink(uint32_t x)
{
    if (x < 2u << SNR_BITS)
        return (x * x) >> (2 + 2 * SNR_BITS - OUTPUT_BITS);
    return (x >> (SNR_BITS - OUTPUT_BITS)) - (1u << OUTPUT_BITS);
}

static void run_pcan(const pe_call *c)
{
    const pe_signal_shift_params *p = c->params;
    const uint32_t *x = c->data[0], *noise = c->data[1];
    uint32_t *y = c->data[3], channels = pe_tensor_elements(c->tensor[0]);
    for (uint32_t i = 0; i < channels; i++) {
        uint32_t gain = (uint32_t)gain_of(noise[i], c->data[2]);
        y[i] = shrink((uint32_t)(((uint64_t)x[i] * gain) >> p->shift));
    }
}

/* --- signal_log: x u32 -> y s16 = factor * ln(x * 2^bits), at most 32767 --- */

static pe_status check_log(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_signal_log_params *p = c->params;
    const pe_tensor *x = c->tensor[0], *y = c->tensor[1];
    (void)scratch_bytes;
    *text = "signal_log: x is not uint32, y not int16 of its size, or the bits are not 0 to 31";
    return x->dtype == PE_U32 && is_vector(y, PE_S16, pe_tensor_elements(x)) && p->bits <= 31 ? PE_OK : PE_ERR_SHAPE;
}

/* 65536 * (log2(1 + i / 128) - i / 128), to the nearest. */
static const uint16_t log2_bend[129] = {
    0,    224,  442,  654,  861,  1063, 1259, 1450, 1636, 1817, 1992, 2163, 2329, 2490, 2646, 2797, 2944, 3087, 3224,
    3358, 3487, 3611, 3732, 3848, 3960, 4068, 4172, 4272, 4368, 4460, 4549, 4633, 4714, 4791, 4864, 4934, 5001, 5063,
    5123, 5178, 5231, 5280, 5326, 5368, 5408, 5444, 5477, 5507, 5533, 5557, 5578, 5595, 5610, 5622, 5631, 5637, 5640,
    5641, 5638, 5633, 5626, 5615, 5602, 5586, 5568, 5547, 5524, 5498, 5470, 5439, 5406, 5370, 5332, 5291, 5249, 5203,
    5156, 5106, 5054, 5000, 4944, 4885, 4825, 4762, 4697, 4630, 4561, 4490, 4416, 4341, 4264, 4184, 4103, 4020, 3935,
    3848, 3759, 3668, 3575, 3481, 3384, 3286, 3186, 3084, 2981, 2875, 2768, 2659, 2549, 2437, 2323, 2207, 2090, 1971,
    1851, 1729, 1605, 1480, 1353, 1224, 1094, 963,  830,  695,  559,  421,  282,  142,  0};

/* 65536 * ln(x), of x > 0. */
static uint32_t natural_log(uint32_t x)
{
    uint32_t exponent = bit_length(x) - 1;
    uint32_t fraction = x - (1u << exponent);
    fraction = exponent < 16 ? fraction << (16 - exponent) : fraction >> (exponent - 16);
    uint32_t segment = fraction >> 9;
    int32_t low = log2_bend[segment], high = log2_bend[segment + 1];
    int32_t bend = low + (((high - low) * (int32_t)(fraction - (segment << 9))) >> 16);
    uint32_t log2 = (exponent << 16) + fraction + (uint32_t)bend;
    return (uint32_t)(((uint64_t)45426 * log2 + 32768) >> 16); /* 65536 * ln(2) */
}

static void run_log(const pe_call *c)
{
    const pe_signal_log_params *p = c->params;
    const uint32_t *x = c->data[0];
    int16_t *y = c->data[1];
    uint32_t n = pe_tensor_elements(c->tensor[0]);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t scaled = x[i] << p->bits;
        uint32_t value = scaled > 1 ? (p->factor * natural_log(scaled) + 32768) >> 16 : 0;
        y[i] = (int16_t)(value < INT16_MAX ? value : INT16_MAX);
    }
}

/* --- signal_codes: x s16 -> y s8 = (x * multiplier + addend) / divisor + offset, saturated --- */

static bool is_s16(int32_t x)
{
    return x >= INT16_MIN && x <= INT16_MAX;
}

static pe_status check_codes(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_signal_codes_params *p = c->params;
    (void)scratch_bytes;
    *text = "signal_codes: x is not int16, y not int8 of its shape, or the numbers are out of range";
    return c->tensor[0]->dtype == PE_S16 && c->tensor[1]->dtype == PE_S8 && same_shape(c->tensor[0], c->tensor[1]) &&
                   is_s16(p->multiplier) && is_s16(p->addend) && is_s16(p->offset) && p->divisor >= 1
               ? PE_OK
               : PE_ERR_SHAPE;
}

static void run_codes(const pe_call *c)
{
    const pe_signal_codes_params *p = c->params;
    const int16_t *x = c->data[0];
    int8_t *y = c->data[1];
    uint32_t n = pe_tensor_elements(c->tensor[0]);
    for (uint32_t i = 0; i < n; i++) {
        int32_t code = (x[i] * p->multiplier + p->addend) / p->divisor + p->offset;
        y[i] = (int8_t)(code < INT8_MIN ? INT8_MIN : code > INT8_MAX ? INT8_MAX : code);
    }
}

const pe_op_def pe_op_def_signal_window = {
    .kind = PE_OP_SIGNAL_WINDOW,
    .params_bytes = sizeof(pe_signal_shift_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "signal_window",
    .check = check_window,
    .run = run_window,
};

const pe_op_def pe_op_def_signal_auto_scale = {
    .kind = PE_OP_SIGNAL_AUTO_SCALE,
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 2,
    .name = "signal_auto_scale",
    .check = check_auto_scale,
    .run = run_auto_scale,
};

const pe_op_def pe_op_def_signal_energy = {
    .kind = PE_OP_SIGNAL_ENERGY,
    .params_bytes = sizeof(pe_signal_energy_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "signal_energy",
    .check = check_energy,
    .run = run_energy,
};

const pe_op_def pe_op_def_signal_filter_bank = {
    .kind = PE_OP_SIGNAL_FILTER_BANK,
    .min_inputs = 6,
    .max_inputs = 6,
    .outputs = 1,
    .name = "signal_filter_bank",
    .check = check_filter_bank,
    .run = run_filter_bank,
};

const pe_op_def pe_op_def_signal_filter_bank_f32 = {
    .kind = PE_OP_SIGNAL_FILTER_BANK_F32,
    .min_inputs = 6,
    .max_inputs = 6,
    .outputs = 1,
    .name = "signal_filter_bank_f32",
    .check = check_filter_bank_f32,
    .run = run_filter_bank_f32,
};

const pe_op_def pe_op_def_signal_square_root = {
    .kind = PE_OP_SIGNAL_SQUARE_ROOT,
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .name = "signal_square_root",
    .check = check_square_root,
    .run = run_square_root,
};

const pe_op_def pe_op_def_signal_spectral_subtraction = {
    .kind = PE_OP_SIGNAL_SPECTRAL_SUBTRACTION,
    .params_bytes = sizeof(pe_signal_subtraction_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 2,
    .name = "signal_spectral_subtraction",
    .check = check_spectral_subtraction,
    .run = run_spectral_subtraction,
};

const pe_op_def pe_op_def_signal_pcan = {
    .kind = PE_OP_SIGNAL_PCAN,
    .params_bytes = sizeof(pe_signal_shift_params),
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .name = "signal_pcan",
    .check = check_pcan,
    .run = run_pcan,
};

const pe_op_def pe_op_def_signal_log = {
    .kind = PE_OP_SIGNAL_LOG,
    .params_bytes = sizeof(pe_signal_log_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "signal_log",
    .check = check_log,
    .run = run_log,
};

const pe_op_def pe_op_def_signal_codes = {
    .kind = PE_OP_SIGNAL_CODES,
    .params_bytes = sizeof(pe_signal_codes_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .name = "signal_codes",
    .check = check_codes,
    .run = run_codes,
};
