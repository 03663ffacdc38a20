/* Bytes copied and filled, for ops that gather windows. */
#ifndef PE_BYTES_H
#define PE_BYTES_H
#include <stddef.h>
#include <stdint.h>

#if defined __riscv_vector && defined __riscv_v_intrinsic /* a firmware for a core with vectors */
#include <riscv_vector.h>

static inline void pe_copy_bytes(uint8_t *to, const uint8_t *from, size_t n)
{
    for (size_t vl; n; n -= vl, to += vl, from += vl) {
        vl = __riscv_vsetvl_e8m8(n);
        __riscv_vse8_v_u8m8(to, __riscv_vle8_v_u8m8(from, vl), vl);
    }
}

/* The same `rows` times, in steps of bytes. */
static inline void pe_copy_rows(uint8_t *to, size_t to_step, const uint8_t *from, size_t from_step, size_t n,
                                size_t rows)
{
    for (size_t vl, at = 0; at < n; at += vl) {
        vl = __riscv_vsetvl_e8m8(n - at);
        for (size_t row = 0; row < rows; row++)
            __riscv_vse8_v_u8m8(to + at + row * to_step, __riscv_vle8_v_u8m8(from + at + row * from_step, vl), vl);
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

/* The same `rows` times, in steps of bytes. */
static inline void pe_copy_rows(uint8_t *to, size_t to_step, const uint8_t *from, size_t from_step, size_t n,
                                size_t rows)
{
    for (size_t row = 0; row < rows; row++)
        pe_copy_bytes(to + row * to_step, from + row * from_step, n);
}

static inline void pe_fill_bytes(void *to, uint8_t value, size_t n)
{
    for (uint8_t *d = to; n; n--)
        *d++ = value;
}
#endif
#endif
