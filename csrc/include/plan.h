/* plan_structs.h with what cffi cannot read: guards, types and static asserts. */
#ifndef PE_PLAN_H
#define PE_PLAN_H
#include <stddef.h>
#include <stdint.h>

#include "plan_structs.h"

#ifdef __cplusplus
#define PE_STATIC_ASSERT static_assert
#else
#define PE_STATIC_ASSERT _Static_assert
#endif

PE_STATIC_ASSERT(sizeof(pe_plan_header) == 104, "pe_plan_header has no padding");
PE_STATIC_ASSERT(sizeof(pe_tensor) == 48, "pe_tensor has no padding");
PE_STATIC_ASSERT(sizeof(pe_op) == 32, "pe_op has no padding");
PE_STATIC_ASSERT(sizeof(pe_entry) == 28, "pe_entry has no padding");
PE_STATIC_ASSERT(sizeof(pe_conv2d_params) == 56, "pe_conv2d_params has no padding");
#undef PE_STATIC_ASSERT
#endif
