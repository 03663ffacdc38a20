/* Number formats of up to 16 bits: codes to values and back, in integers (docs/arithmetic.md, "Number formats"). */
#ifndef PE_CODEC_H
#define PE_CODEC_H
#include <stdbool.h>

#include "plan.h"

/* What the highest codes of a floating-point format stand for. */
enum pe_specials {
    PE_SPECIALS_NONE,   /* numbers */
    PE_SPECIALS_IEEE,   /* the highest exponent: infinity and NaNs */
    PE_SPECIALS_FN,     /* all ones: NaN; no infinity */
    PE_SPECIALS_FNUZ,   /* the code of -0: NaN; no infinity, no -0 */
    PE_SPECIALS_SCALE,  /* unsigned powers of two, no zero; all ones: NaN (E8M0) */
    PE_SPECIALS_INTEGER /* no float: two's complement or unsigned */
};

typedef struct pe_number_format {
    uint8_t exponent_bits, mantissa_bits; /* an integer has mantissa_bits bits in all */
    uint8_t bias;                         /* of an integer: 1 if signed */
    uint8_t specials;                     /* pe_specials */
} pe_number_format;

/* What encode does with values beyond the largest number. */
enum pe_overflow { PE_OVERFLOW_SPECIAL, PE_OVERFLOW_SATURATE }; /* infinity, or NaN where there is none; the largest */

/* Of an E8M0 scale, which has one number in each binade. */
enum pe_scale_rounding { PE_SCALE_UP, PE_SCALE_DOWN, PE_SCALE_NEAREST };

/* The format of a pe_format, or of a dtype of 16 bits. */
static inline pe_number_format pe_format_of(int32_t format)
{
    static const pe_number_format formats[] = {
        [PE_FORMAT_F8_E4M3FN] = {4, 3, 7, PE_SPECIALS_FN},    [PE_FORMAT_F8_E4M3FNUZ] = {4, 3, 8, PE_SPECIALS_FNUZ},
        [PE_FORMAT_F8_E5M2] = {5, 2, 15, PE_SPECIALS_IEEE},   [PE_FORMAT_F8_E5M2FNUZ] = {5, 2, 16, PE_SPECIALS_FNUZ},
        [PE_FORMAT_F8_E8M0] = {8, 0, 127, PE_SPECIALS_SCALE}, [PE_FORMAT_F4_E2M1] = {2, 1, 1, PE_SPECIALS_NONE},
        [PE_FORMAT_S4] = {0, 4, 1, PE_SPECIALS_INTEGER},      [PE_FORMAT_U4] = {0, 4, 0, PE_SPECIALS_INTEGER},
        [PE_FORMAT_S2] = {0, 2, 1, PE_SPECIALS_INTEGER},      [PE_FORMAT_U2] = {0, 2, 0, PE_SPECIALS_INTEGER},
    };
    return formats[format];
}

#define PE_BINARY16 ((pe_number_format){5, 10, 15, PE_SPECIALS_IEEE})
#define PE_BFLOAT16 ((pe_number_format){8, 7, 127, PE_SPECIALS_IEEE})

static inline uint64_t pe_double_bits(double x)
{
    uint64_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double pe_double_from_bits(uint64_t bits)
{
    double x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

/* The bits of a double of value mantissa * 2^exponent, which it must hold exactly; mantissa < 2^53. */
static inline uint64_t pe_scaled_bits(uint64_t mantissa, int32_t exponent)
{
    if (mantissa == 0)
        return 0;
    int32_t top = 63 - __builtin_clzll(mantissa);
    return ((uint64_t)(top + exponent + 1023) << 52) + ((mantissa << (52 - top)) & 0xFFFFFFFFFFFFF);
}

/* The bits of the double that a code of a floating-point format stands for; exact. Bits above the format's are ignored. */
static inline uint64_t pe_decode_bits(pe_number_format f, uint32_t code)
{
    const uint64_t nan = 0x7FF8000000000000, infinity = 0x7FF0000000000000;
    uint32_t e_max = (1u << f.exponent_bits) - 1, m_max = (1u << f.mantissa_bits) - 1;
    uint32_t e = code >> f.mantissa_bits & e_max, m = code & m_max;
    uint64_t sign = (uint64_t)(code >> (f.mantissa_bits + f.exponent_bits) & 1) << 63;
    switch (f.specials) {
    case PE_SPECIALS_SCALE: return e == e_max ? nan : pe_scaled_bits(1, (int32_t)e - f.bias);
    case PE_SPECIALS_IEEE:
        if (e == e_max)
            return m ? nan : sign | infinity;
        break;
    case PE_SPECIALS_FN:
        if (e == e_max && m == m_max)
            return nan;
        break;
    case PE_SPECIALS_FNUZ:
        if (sign && !e && !m)
            return nan;
        break;
    default: break;
    }
    int32_t exponent = (int32_t)(e ? e : 1) - f.bias - f.mantissa_bits;
    return sign | pe_scaled_bits(e ? m | (m_max + 1) : m, exponent);
}

static inline double pe_decode(pe_number_format f, uint32_t code)
{
    return pe_double_from_bits(pe_decode_bits(f, code));
}

/* The code next to x, ties to the even code. x is a double, so a value goes through one rounding only. Of a format without
 * NaN it is the code of -0, as in ml_dtypes. */
static inline uint32_t pe_encode(pe_number_format f, double x, int overflow)
{
    uint64_t bits = pe_double_bits(x), magnitude = bits & INT64_MAX;
    uint32_t sign = (uint32_t)(bits >> 63) << (f.mantissa_bits + f.exponent_bits);
    uint32_t all = (1u << (f.mantissa_bits + f.exponent_bits)) - 1;
    bool ieee = f.specials == PE_SPECIALS_IEEE, fnuz = f.specials == PE_SPECIALS_FNUZ;
    uint32_t infinity = all - ((1u << f.mantissa_bits) - 1);
    uint32_t nan = ieee ? infinity | 1u << (f.mantissa_bits - 1) : fnuz ? all + 1 : all;
    uint32_t largest = ieee ? infinity - 1 : f.specials == PE_SPECIALS_FN ? all - 1 : all;
    if (magnitude > 0x7FF0000000000000)
        return f.specials == PE_SPECIALS_NONE ? all + 1 : nan;
    uint32_t code = UINT32_MAX; /* beyond all codes */
    int32_t exponent = (int32_t)(magnitude >> 52) - 1023;
    int32_t lowest = 1 - f.bias; /* of normal numbers; below, the steps stay the same */
    if (exponent < (1 << f.exponent_bits)) {
        uint64_t mantissa = (magnitude & 0xFFFFFFFFFFFFF) | 1ull << 52;
        int32_t cut = 52 - f.mantissa_bits + (exponent < lowest ? lowest - exponent : 0);
        if (cut > 54 || exponent == -1023)
            code = 0;
        else {
            uint64_t kept = mantissa >> cut, rest = mantissa & ((1ull << cut) - 1), half = 1ull << (cut - 1);
            kept += rest > half || (rest == half && (kept & 1));
            /* A carry into the next binade or into the normal numbers is the next code as well. */
            uint32_t base = exponent < lowest ? 0 : (uint32_t)(exponent - lowest) << f.mantissa_bits;
            code = base + (uint32_t)kept;
        }
    }
    if (code > largest) {
        if (overflow == PE_OVERFLOW_SATURATE || f.specials == PE_SPECIALS_NONE)
            code = largest;
        else if (ieee)
            code = infinity;
        else
            return fnuz ? nan : sign | nan;
    }
    return fnuz && code == 0 ? 0 : sign | code;
}

/* The code of an E8M0 scale; zero and negative numbers have none and give the lowest. */
static inline uint32_t pe_encode_scale(double x, int rounding, int overflow)
{
    uint64_t bits = pe_double_bits(x);
    if ((bits & INT64_MAX) > 0x7FF0000000000000)
        return 255;
    int32_t exponent = (int32_t)(bits >> 52 & 0x7FF) - 1023;
    uint64_t rest = bits & 0xFFFFFFFFFFFFF;
    if (bits >> 63 || exponent < -127)
        return 0;
    if (exponent < 128)
        exponent += rounding == PE_SCALE_UP ? rest != 0 : rounding == PE_SCALE_NEAREST && rest >= 1ull << 51;
    return exponent < 128 ? (uint32_t)(exponent + 127) : overflow == PE_OVERFLOW_SATURATE ? 254 : 255;
}
#endif
