# Kernels of riscv64, for hosts only, with flags of their own; PE_WITH_RVV and PE_WITH_RISCV64 are defined for all sources.
# Paths as in sources.cmake. A level without its
# intrinsics (GCC before 14) is left out.
include(CheckCSourceCompiles)
list(APPEND PYEDGE_SOURCES kernels/rvv/cpu.c) # for every CPU: it asks what this one is
set(PYEDGE_RVV_PROBE "__riscv_vsetvlmax_e8m8()")
set(PYEDGE_ZVFH_PROBE "__riscv_vfmv_f_s_f16m1_f16(__riscv_vfmv_v_f_f16m1(1, 1))")
set(PYEDGE_RVV_CHOICES -march=rv64gcv -mcpu=baseline_rv64+v) # the second as Zig has it
set(PYEDGE_ZVFH_CHOICES -march=rv64gcv_zvfh -mcpu=baseline_rv64+v+zvfh)
foreach(level RVV ZVFH)
  foreach(flag ${PYEDGE_${level}_CHOICES})
    string(MAKE_C_IDENTIFIER PYEDGE_CC_HAS${flag} known)
    set(CMAKE_REQUIRED_FLAGS ${flag})
    check_c_source_compiles("#include <riscv_vector.h>
      int main(void) { return (int)${PYEDGE_${level}_PROBE}; }" ${known})
    unset(CMAKE_REQUIRED_FLAGS)
    if(${known})
      set(PYEDGE_${level}_FLAGS -O3 ${flag})
      break()
    endif()
  endforeach()
endforeach()
