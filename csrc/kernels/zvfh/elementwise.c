#define PE_ARCH(name) name##__zvfh
#include "kernels/rvv/elementwise.h"
