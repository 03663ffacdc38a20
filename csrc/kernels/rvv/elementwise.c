#define PE_ARCH(name) name##__rvv
#include "kernels/rvv/elementwise.h"
