/* What the convolutions of any rank share: float, transposed, and integer with zero points at run time. */
#ifndef PE_CONV_ND_H
#define PE_CONV_ND_H
#include "grid.h"

/* Checks shapes, groups and steps of x[N, D.., C], w[C_out, k.., C/groups] and the one output, and sets *g; NULL, or
 * what is wrong. x_number, w_number: which
 * inputs they are. */
const char *pe_conv_nd_fault(const pe_call *c, uint32_t x_number, uint32_t w_number, bool transposed, pe_grid *g);
#endif
