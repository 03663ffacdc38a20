/* void pe_mve_interleave, pe_mve_depthwise_s8: contracts in mve.h. */
#include "kernels/mve/macros.S"

    FUNCTION pe_mve_interleave
    push {r4-r11, lr}
    vctp.8 r2
    ldm r0, {r4-r11}            /* rows, steps */
    dls lr, r1
1:  vpstttt
    vldrbt.u8 q0, [r4]
    vldrbt.u8 q1, [r5]
    vldrbt.u8 q2, [r6]
    vldrbt.u8 q3, [r7]
    add r4, r4, r8
    add r5, r5, r9
    add r6, r6, r10
    add r7, r7, r11
    vst40.8 {q0, q1, q2, q3}, [r3]
    vst41.8 {q0, q1, q2, q3}, [r3]
    vst42.8 {q0, q1, q2, q3}, [r3]
    vst43.8 {q0, q1, q2, q3}, [r3]!
    le lr, 1b
    pop {r4-r11, pc}

#define X 0
#define W 4
#define Q 8
#define Y 12
#define SUMS 16
#define BLOCKS 20
#define BLOCK_COUNT 24
#define N 28
#define X_TAP 32
#define X_STEP 36
#define Y_STEP 40
#define CHANNELS 44
#define ZERO_POINT 48
#define MIN 52
#define MAX 56

#define F_W_OFFSETS 0
#define F_Q_OFFSETS 16
#define F_MIN 32
#define F_MAX 48
#define F_W 64                  /* of the block */
#define F_LEFT 68               /* channels */
#define FRAME 72

/* Sums of four channels over a block of 4 x 4 taps; q7: where the columns of a window lie, q0 .. q3: weights, a channel each */
.macro BLOCK first
    ldr r0, [sp, #F_W]
    vldrw.u32 q5, [sp, #F_W_OFFSETS]
    vadd.i32 q5, q5, r0
    add r0, r0, #256
    str r0, [sp, #F_W]
    vldrw.u32 q0, [q5]
    vldrw.u32 q1, [q5, #4]
    vldrw.u32 q2, [q5, #8]
    vldrw.u32 q3, [q5, #12]
    ldr r0, [r7], #4
    add r0, r0, r8
    vadd.i32 q4, q7, r0
    ldr r1, [r5, #SUMS]
    ldr r3, [r5, #X_STEP]
    ldr r0, [r5, #N]
    dls lr, r0
2:  vldrw.u32 q5, [q4]
    vmladav.s8 r0, q5, q0
    vldrw.u32 q6, [q4, #4]
    vmladav.s8 r2, q6, q1
    vldrw.u32 q5, [q4, #8]
    vmladav.s8 r4, q5, q2
    vldrw.u32 q6, [q4, #12]
    vmladav.s8 r6, q6, q3
    vadd.i32 q4, q4, r3
    vmov q5[2], q5[0], r0, r4
    vmov q5[3], q5[1], r2, r6
    .if !\first
    vldrw.u32 q6, [r1]
    vadd.i32 q5, q5, q6
    .endif
    vstrw.32 q5, [r1], #16
    le lr, 2b
.endm

    FUNCTION pe_mve_depthwise_s8
    SAVE FRAME
    mov r5, r0
    CHANNEL_OFFSETS q0, r2, r3
    vstrw.32 q0, [sp, #F_Q_OFFSETS]
    movs r2, #0
    vidup.u32 q0, r2, #1
    ldr r3, [r5, #X_TAP]
    vmul.i32 q7, q0, r3
    movs r3, #64
    vmul.i32 q0, q0, r3
    vstrw.32 q0, [sp, #F_W_OFFSETS]
    ldrd r1, r2, [r5, #MIN]
    vdup.32 q0, r1
    vstrw.32 q0, [sp, #F_MIN]
    vdup.32 q0, r2
    vstrw.32 q0, [sp, #F_MAX]
    ldr r8, [r5, #X]
    ldr r9, [r5, #W]
    ldr r10, [r5, #Q]
    ldr r11, [r5, #Y]
    ldr r0, [r5, #CHANNELS]
    str r0, [sp, #F_LEFT]

1:  str r9, [sp, #F_W]
    ldrd r7, r12, [r5, #BLOCKS]
    BLOCK 1
    subs r12, r12, #1
    beq 4f
3:  BLOCK 0
    subs r12, r12, #1
    bne 3b
4:  vldrw.u32 q6, [sp, #F_Q_OFFSETS]
    vadd.i32 q6, q6, r10
    ldr r6, [sp, #F_LEFT]
    vctp.32 r6
    vpsttt
    vldrwt.u32 q0, [q6]
    vldrwt.u32 q1, [q6, #4]
    vldrwt.u32 q2, [q6, #8]
    vbic.i32 q1, #0x80000000
    vneg.s32 q2, q2
    vldrw.u32 q3, [sp, #F_MIN]
    vldrw.u32 q4, [sp, #F_MAX]
    subs r6, r6, #4
    str r6, [sp, #F_LEFT]
    ldr r1, [r5, #SUMS]
    ldr r2, [r5, #Y_STEP]
    mov r3, r11
    movs r4, #1
    ldr r6, [r5, #ZERO_POINT]
    ldr r0, [r5, #N]
    dls lr, r0
5:  vldrw.u32 q5, [r1], #16
    vadd.i32 q5, q5, q0
    REQUANTIZE q5, q1, q2, r4, r6
    vmax.s32 q5, q5, q3
    vmin.s32 q5, q5, q4
    vpst
    vstrbt.32 q5, [r3]
    add r3, r3, r2
    le lr, 5b
    add r8, r8, #16
    add r9, r9, #16
    add r10, r10, #48
    add r11, r11, #4
    ldr r0, [sp, #F_LEFT]
    cmp r0, #0
    bgt 1b
    RESTORE FRAME
