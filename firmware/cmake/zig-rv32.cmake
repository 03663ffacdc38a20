# The PyPI package ziglang: compiler, linker and compiler-rt in one, nothing else to install.
include(${CMAKE_CURRENT_LIST_DIR}/rv32.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
# zig takes no -march. Its own undefined-behavior traps are off: sanitized builds are the host port's.
string(REGEX REPLACE "^rv32i" "" PYEDGE_EXTENSIONS ${PYEDGE_MARCH_BASE})
string(REGEX REPLACE "(.)" "+\\1" PYEDGE_EXTENSIONS ${PYEDGE_EXTENSIONS})
string(REGEX MATCH "_.*" PYEDGE_LONG_EXTENSIONS ${PYEDGE_MARCH})
string(REPLACE "_" "+" PYEDGE_LONG_EXTENSIONS "${PYEDGE_LONG_EXTENSIONS}")
set(CMAKE_C_FLAGS_INIT "-target riscv32-freestanding-none -mcpu=generic_rv32${PYEDGE_EXTENSIONS}${PYEDGE_LONG_EXTENSIONS}+zicsr -mabi=${PYEDGE_MABI} -fno-sanitize=all -fno-math-errno -fno-stack-protector -fomit-frame-pointer")
set(CMAKE_ASM_FLAGS_INIT ${CMAKE_C_FLAGS_INIT})
set(CMAKE_EXE_LINKER_FLAGS_INIT "-nostdlib -static")
set(PYEDGE_RUNTIME_LIB -lcompiler_rt)
