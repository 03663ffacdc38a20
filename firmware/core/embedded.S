/* The plan that PYEDGE_PLAN names, in flash with the code. */
    .section .rodata.pyedge_plan, "a"
    .balign 64
    .globl pyedge_plan
    .globl pyedge_plan_end
pyedge_plan:
    .incbin PYEDGE_PLAN_FILE
pyedge_plan_end:
#ifdef __linux__
    .section .note.GNU-stack, "", %progbits
#endif
