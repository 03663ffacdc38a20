# The PyPI package ziglang: compiler, linker and compiler-rt in one, nothing else to install.
include(${CMAKE_CURRENT_LIST_DIR}/cortexm.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
# zig's own undefined-behavior traps are off: sanitized builds are the host port's.
set(CMAKE_C_FLAGS_INIT "-target thumb-freestanding-eabihf -mcpu=${PYEDGE_ZIG_CPU} -fno-sanitize=all -fno-math-errno -fno-stack-protector")
set(CMAKE_ASM_FLAGS_INIT ${CMAKE_C_FLAGS_INIT})
set(CMAKE_EXE_LINKER_FLAGS_INIT "-nostdlib -static")
set(PYEDGE_RUNTIME_LIB -lcompiler_rt)
