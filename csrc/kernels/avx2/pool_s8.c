#include "kernels/x86/pool_s8.h"
