#include "ops.h"
#include "ops_list.h"
#include "trim.h"

#define PE_DECLARE(name, KIND) extern const pe_op_def pe_op_def_##name;
PE_OPS(PE_DECLARE)

/* Row kind - 1. A dropped op leaves NULL, so that nothing refers to its code. */
#define PE_ROW(name, KIND) [PE_OP_##KIND - 1] = PE_IF_KEPT(name, &pe_op_def_##name, NULL),
const pe_op_def *const pe_op_table[] = {PE_OPS(PE_ROW)};
const uint32_t pe_op_table_size = sizeof pe_op_table / sizeof pe_op_table[0];

const pe_op_def *pe_op_find(uint16_t kind)
{
    return kind >= 1 && kind <= pe_op_table_size ? pe_op_table[kind - 1] : NULL;
}
