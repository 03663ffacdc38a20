#include "kernels/x86/mul_s8.h"
