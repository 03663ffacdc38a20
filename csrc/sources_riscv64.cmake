# Kernels of riscv64, for hosts only, with flags of their own; PE_WITH_RVV and PE_WITH_RISCV64 are defined for all sources.
# Paths as in sources.cmake. Without vector intrinsics (GCC before 14) there are none.
include(CheckCSourceCompiles)
list(APPEND PYEDGE_SOURCES kernels/rvv/cpu.c) # for every CPU: it asks what this one is
foreach(flag -march=rv64gcv -mcpu=baseline_rv64+v) # the second as Zig has it
  string(MAKE_C_IDENTIFIER PYEDGE_CC_HAS${flag} known)
  set(CMAKE_REQUIRED_FLAGS ${flag})
  check_c_source_compiles("#include <riscv_vector.h>
    int main(void) { return (int)__riscv_vsetvlmax_e8m8(); }" ${known})
  unset(CMAKE_REQUIRED_FLAGS)
  if(${known})
    set(PYEDGE_RVV_FLAGS -O3 ${flag})
    break()
  endif()
endforeach()
