/* void pe_mve_1_row_s8, pe_mve_3_rows_s8, pe_mve_3_short_rows_s8(const pe_mve_rows *t): contracts in mve.h.
 *
 * Of 16 neighbours in k, VMLADAVA adds all products of two rows to one sum, in a general register of even number. One row
 * by four channels takes 10 instructions for 64 products, three rows by two channels 12 for 96. The loops are
 * tail-predicated: what a row lacks to a multiple of 16 is neither read nor counted. */
#include "kernels/mve/macros.S"

#define X 0
#define W 12
#define Q 16
#define Y 20
#define Y_STRIDE 24
#define K 28
#define BLOCKS 32
#define ZERO_POINT 36
#define MIN 40
#define MAX 44

/* Of q[0]: the multiplier, where r8 or r11 points to, as this macro's user keeps it */
#define BIAS(channel) (12 * (channel) - 4)

#define F_X 0
#define F_ONE 4                 /* and the zero point */
#define F_END 12
#define FRAME 16

    FUNCTION pe_mve_1_row_s8
    SAVE FRAME
    CHANNEL_OFFSETS q7, r2, r3
    movs r3, #4
    vadd.i32 q6, q7, r3
    ldr r1, [r0, #MIN]
    vdup.32 q4, r1
    ldr r1, [r0, #MAX]
    vdup.32 q5, r1
    ldr r1, [r0, #X]
    str r1, [sp, #F_X]
    movs r1, #1
    ldr r2, [r0, #ZERO_POINT]
    strd r1, r2, [sp, #F_ONE]
    ldr r12, [r0, #W]
    ldr r11, [r0, #Y]
    ldr r10, [r0, #K]
    ldr r8, [r0, #Q]
    adds r8, r8, #4
    ldr r1, [r0, #BLOCKS]
    movs r2, #48
    mla r1, r1, r2, r8
    str r1, [sp, #F_END]

1:  ldr r0, [r8, #BIAS(0)]
    ldr r2, [r8, #BIAS(1)]
    ldr r4, [r8, #BIAS(2)]
    ldr r6, [r8, #BIAS(3)]
    mov r3, r12
    add r5, r3, r10
    add r7, r5, r10
    add r9, r7, r10
    add r12, r9, r10
    ldr r1, [sp, #F_X]
    dlstp.8 lr, r10
2:  vldrb.u8 q0, [r1], #16
    vldrb.u8 q1, [r3], #16
    vmladava.s8 r0, q0, q1
    vldrb.u8 q2, [r5], #16
    vmladava.s8 r2, q0, q2
    vldrb.u8 q1, [r7], #16
    vmladava.s8 r4, q0, q1
    vldrb.u8 q2, [r9], #16
    vmladava.s8 r6, q0, q2
    letp lr, 2b
    vmov q0[2], q0[0], r0, r4
    vmov q0[3], q0[1], r2, r6
    vldrw.u32 q1, [r8, q7]
    vldrw.u32 q2, [r8, q6]
    vbic.i32 q1, #0x80000000
    vneg.s32 q2, q2
    ldrd r0, r2, [sp, #F_ONE]
    REQUANTIZE q0, q1, q2, r0, r2
    vmax.s32 q0, q0, q4
    mov r0, r11
    vmin.s32 q0, q0, q5
    adds r11, r11, #4
    vstrb.32 q0, [r0]
    adds r8, r8, #48
    ldr r1, [sp, #F_END]
    cmp r8, r1
    bne 1b
    RESTORE FRAME

#undef F_X
#undef F_ONE
#undef F_END
#undef FRAME
#define F_X 0
#define F_ONE 12                /* and the zero point */
#define F_Y 20                  /* and its stride */
#define F_END 28
#define F_K 32
#define F_MIN 36
#define F_MAX 52
#define F_OFFSETS 68            /* of a field of four channels */
#define F_X2 84                 /* k bytes of the third row, zeros behind them */
#define FRAME 100

/* Two channels, \a and \a + 2: r11 at the multiplier of channel 0, r12 at its weights */
.macro PASS_3_ROWS a
    ldr r9, [sp, #F_K]
    dlstp.8 lr, r9
    .if \a
    add r7, r12, r9
    .else
    mov r7, r12
    .endif
    add r9, r7, r9, lsl #1
    ldr r0, [r11, #BIAS(\a)]
    ldr r2, [r11, #BIAS(\a + 2)]
    mov r4, r0
    mov r6, r2
    mov r8, r0
    mov r10, r2
    ldm sp, {r1, r3, r5}
2:  vldrb.u8 q3, [r7], #16
    vldrb.u8 q4, [r1], #16
    vmladava.s8 r0, q3, q4
    vldrb.u8 q5, [r9], #16
    vmladava.s8 r2, q5, q4
    vldrb.u8 q4, [r3], #16
    vmladava.s8 r4, q3, q4
    vmladava.s8 r6, q5, q4
    vldrb.u8 q4, [r5], #16
    vmladava.s8 r8, q3, q4
    vmladava.s8 r10, q5, q4
    letp lr, 2b
    vmov q0[\a + 2], q0[\a], r0, r2
    vmov q1[\a + 2], q1[\a], r4, r6
    vmov q2[\a + 2], q2[\a], r8, r10
.endm

/* To the end of a block of channels, from sums with their bias in \a, \b, \c: \mult and \right as REQUANTIZE has them; \mult and
 * \right are free after it. */
.macro OUTPUTS_3_ROWS a, b, c, mult, right
    ldrd r0, r1, [sp, #F_ONE]
    REQUANTIZE \a, \mult, \right, r0, r1
    REQUANTIZE \b, \mult, \right, r0, r1
    REQUANTIZE \c, \mult, \right, r0, r1
    vldrw.u32 \mult, [sp, #F_MIN]
    vldrw.u32 \right, [sp, #F_MAX]
    ldrd r2, r1, [sp, #F_Y]
    vmax.s32 \a, \a, \mult
    vmax.s32 \b, \b, \mult
    vmin.s32 \a, \a, \right
    add r3, r2, r1
    vmax.s32 \c, \c, \mult
    vmin.s32 \b, \b, \right
    add r4, r3, r1
    vmin.s32 \c, \c, \right
    vstrb.32 \a, [r2], #4
    vstrb.32 \b, [r3]
    vstrb.32 \c, [r4]
    str r2, [sp, #F_Y]
    add r11, r11, #48
    ldr r1, [sp, #F_END]
    cmp r11, r1
.endm

/* r11: at the multiplier of the first channel; r12: at its weights; q7, q6: where multipliers and shifts lie from r11 on */
.macro BEGIN_3_ROWS
    SAVE FRAME
    CHANNEL_OFFSETS q7, r2, r3
    movs r3, #4
    vadd.i32 q6, q7, r3
    ldrd r1, r2, [r0, #MIN]
    vdup.32 q0, r1
    vdup.32 q1, r2
    vstrw.32 q0, [sp, #F_MIN]
    vstrw.32 q1, [sp, #F_MAX]
    ldm r0, {r1, r2, r3}
    stm sp, {r1, r2, r3}
    movs r1, #1
    ldr r2, [r0, #ZERO_POINT]
    strd r1, r2, [sp, #F_ONE]
    ldrd r1, r2, [r0, #Y]
    strd r1, r2, [sp, #F_Y]
    ldr r1, [r0, #K]
    str r1, [sp, #F_K]
    ldr r12, [r0, #W]
    ldr r11, [r0, #Q]
    add r11, r11, #4
    ldr r1, [r0, #BLOCKS]
    movs r2, #48
    mla r1, r1, r2, r11
    str r1, [sp, #F_END]
.endm

    FUNCTION pe_mve_3_rows_s8
    BEGIN_3_ROWS
1:  PASS_3_ROWS 0
    PASS_3_ROWS 1
    ldr r0, [sp, #F_K]
    vldrw.u32 q3, [r11, q7]
    add r12, r12, r0, lsl #2
    vldrw.u32 q4, [r11, q6]
    vbic.i32 q3, #0x80000000
    vneg.s32 q4, q4
    OUTPUTS_3_ROWS q0, q1, q2, q3, q4
    bne 1b
    RESTORE FRAME

/* Two channels, \a and \a + 2, of weights in \w0 and \w1: sums in q7 and, where the weights of channels 0 and 2 were, q3, q5 */
.macro PASS_3_SHORT_ROWS a, w0, w1
    vmladav.s8 r0, q0, \w0
    vmladav.s8 r2, q0, \w1
    vmladav.s8 r4, q1, \w0
    vmladav.s8 r6, q1, \w1
    vmladav.s8 r8, q2, \w0
    vmladav.s8 r10, q2, \w1
    vmov q7[\a + 2], q7[\a], r0, r2
    vmov q3[\a + 2], q3[\a], r4, r6
    vmov q5[\a + 2], q5[\a], r8, r10
.endm

    FUNCTION pe_mve_3_short_rows_s8
    BEGIN_3_ROWS
    vstrw.32 q7, [sp, #F_OFFSETS]
    ldm sp, {r1, r3, r5}
    ldr r7, [sp, #F_K]
    vctp.8 r7
    vpsttt
    vldrbt.u8 q0, [r1]
    vldrbt.u8 q1, [r3]
    vldrbt.u8 q2, [r5]
    vstrw.32 q2, [sp, #F_X2]
1:  vldrw.u32 q2, [sp, #F_X2]
    add r1, r12, r7
    add r3, r1, r7
    add r5, r3, r7
    vpstttt
    vldrbt.u8 q3, [r12]
    vldrbt.u8 q4, [r1]
    vldrbt.u8 q5, [r3]
    vldrbt.u8 q6, [r5]
    add r12, r5, r7
    PASS_3_SHORT_ROWS 0, q3, q5
    PASS_3_SHORT_ROWS 1, q4, q6
    vldrw.u32 q4, [sp, #F_OFFSETS]
    sub r0, r11, #4
    vldrw.u32 q6, [r0, q4]      /* biases */
    vadd.i32 q7, q7, q6
    vadd.i32 q3, q3, q6
    vadd.i32 q5, q5, q6
    add r0, r11, #4
    vldrw.u32 q6, [r11, q4]
    vldrw.u32 q2, [r0, q4]
    vbic.i32 q6, #0x80000000
    vneg.s32 q2, q2
    OUTPUTS_3_ROWS q7, q3, q5, q6, q2
    bne 1b
    RESTORE FRAME
