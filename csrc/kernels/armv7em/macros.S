/* What the assembly files of this folder share. */
    .syntax unified
    .thumb
    .fpu fpv4-sp-d16            /* zig does not tell its assembler */

.macro FUNCTION name
    .section .text.\name, "ax", %progbits
    .globl \name
    .type \name, %function
    .thumb_func
    .balign 4
\name:
.endm

/* The constants of a channel, pe_channel at \at of \q: \twice = 2 * multiplier, \less = shift - 1. */
.macro CHANNEL q, at, twice, less
    ldrd \twice, \less, [\q, #\at + 4]
    lsl \twice, \twice, #1
    sub \less, \less, #1
.endm

/* \sum to int8, for channels of pe_armv7em_is_fast(); \offset = 2 * zero point + 1. SMMLAR with a factor of 2^31 or more, which
 * it takes as that less 2^32, is the first rounding; halves away from zero, and a sum that may saturate, are the second. */
.macro REQUANTIZE sum, twice, less, offset
    smmlar \sum, \sum, \twice, \sum
    add \sum, \sum, \sum, asr #31
    asr \sum, \sum, \less
    qadd \sum, \sum, \offset
    ssat \sum, #8, \sum, asr #1
.endm
