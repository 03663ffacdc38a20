#include "kernels/x86/softmax_s8.h"
