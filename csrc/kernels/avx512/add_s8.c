#include "kernels/x86/add_s8.h"
