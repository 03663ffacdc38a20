/* Logistic function and tanh of int16, Q0.15, as TFLite's reference kernels: linear interpolation between 256 values. */
#ifndef PE_LOGISTIC_S16_H
#define PE_LOGISTIC_S16_H
#include "requantize.h"

/* f(i / 24) * 2^16 of the logistic function f, less f''(i / 24) / 24^2 / 16 * 2^16, which is about half of what a chord
 * lies off in the middle of its interval; rounded. The last one is the limit. */
static const uint16_t pe_logistic_table[256] = {
    32768, 33451, 34133, 34813, 35493, 36169, 36843, 37513, 38180, 38841, 39498, 40149, 40794, 41432, 42064, 42688,
    43304, 43912, 44511, 45102, 45683, 46255, 46817, 47369, 47911, 48443, 48964, 49475, 49975, 50464, 50942, 51409,
    51865, 52311, 52745, 53169, 53581, 53983, 54374, 54755, 55125, 55485, 55834, 56174, 56503, 56823, 57133, 57433,
    57724, 58007, 58280, 58544, 58800, 59048, 59288, 59519, 59743, 59959, 60168, 60370, 60565, 60753, 60935, 61110,
    61279, 61441, 61599, 61750, 61896, 62036, 62172, 62302, 62428, 62549, 62666, 62778, 62886, 62990, 63090, 63186,
    63279, 63368, 63454, 63536, 63615, 63691, 63765, 63835, 63903, 63968, 64030, 64090, 64148, 64204, 64257, 64308,
    64357, 64405, 64450, 64494, 64536, 64576, 64614, 64652, 64687, 64721, 64754, 64786, 64816, 64845, 64873, 64900,
    64926, 64950, 64974, 64997, 65019, 65039, 65060, 65079, 65097, 65115, 65132, 65149, 65164, 65179, 65194, 65208,
    65221, 65234, 65246, 65258, 65269, 65280, 65291, 65301, 65310, 65319, 65328, 65337, 65345, 65352, 65360, 65367,
    65374, 65381, 65387, 65393, 65399, 65404, 65410, 65415, 65420, 65425, 65429, 65433, 65438, 65442, 65445, 65449,
    65453, 65456, 65459, 65462, 65465, 65468, 65471, 65474, 65476, 65479, 65481, 65483, 65485, 65488, 65489, 65491,
    65493, 65495, 65497, 65498, 65500, 65501, 65503, 65504, 65505, 65507, 65508, 65509, 65510, 65511, 65512, 65513,
    65514, 65515, 65516, 65517, 65517, 65518, 65519, 65520, 65520, 65521, 65522, 65522, 65523, 65523, 65524, 65524,
    65525, 65525, 65526, 65526, 65526, 65527, 65527, 65528, 65528, 65528, 65529, 65529, 65529, 65529, 65530, 65530,
    65530, 65530, 65531, 65531, 65531, 65531, 65531, 65532, 65532, 65532, 65532, 65532, 65532, 65533, 65533, 65533,
    65533, 65533, 65533, 65533, 65533, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65534, 65535,
};

/* How int16 of one scale go into the table: (x * multiplier + half) >> shift is in steps of 2^-12 / 3. For the scale
 * 2^(n - 12): multiplier 3 * 2^n, shift 0; for n < 0: multiplier 3, shift -n. */
typedef struct pe_table_scale {
    int32_t multiplier, shift; /* 0 .. 2^15 - 1, 0 .. 30 */
} pe_table_scale;

static inline int32_t pe_table_argument(int16_t x, pe_table_scale s)
{
    return (x * s.multiplier + (s.shift > 0 ? 1 << (s.shift - 1) : 0)) >> s.shift;
}

/* The function at `distance`, whose low `bits` bits lie between two values of the table, in units of 2^-(16 + bits). */
static inline int32_t pe_table_value(uint32_t distance, uint32_t bits, int32_t limit)
{
    const uint32_t i = distance >> bits, rest = distance & ((1u << bits) - 1);
    if (i >= 255)
        return limit;
    return (int32_t)((pe_logistic_table[i] << bits) +
                     rest * (uint32_t)(pe_logistic_table[i + 1] - pe_logistic_table[i]));
}

static inline int16_t pe_logistic_s16(int16_t x, pe_table_scale s)
{
    const int32_t a = pe_table_argument(x, s);
    const int32_t y = pe_table_value((uint32_t)(a < 0 ? -a : a), 9, 0x7FFF << 10);
    return (int16_t)((a < 0 ? (1 << 25) - y + (1 << 9) - 1 : y + (1 << 9)) >> 10);
}

/* tanh(x) = 2 * logistic(2 * x) - 1 */
static inline int16_t pe_tanh_s16(int16_t x, pe_table_scale s)
{
    const int32_t a = pe_table_argument(x, s);
    const int32_t y = pe_table_value((uint32_t)(a < 0 ? -a : a), 8, 0xFFFF << 8) - (1 << 23);
    return (int16_t)(((a < 0 ? -y - 1 : y) + (1 << 7)) >> 8);
}
#endif
