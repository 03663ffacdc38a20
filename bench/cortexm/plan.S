    .section .rodata.plan, "a"
    .balign 64
    .globl plan, plan_end
plan:
    .incbin PLAN
plan_end:
