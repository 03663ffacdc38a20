# clang and lld; the helpers for soft float and 64-bit division come from riscv64-unknown-elf-gcc's libgcc.
include(${CMAKE_CURRENT_LIST_DIR}/rv32.cmake)
find_program(PYEDGE_CLANG NAMES clang-19 clang REQUIRED)
find_program(PYEDGE_LLD NAMES ld.lld-19 ld.lld REQUIRED)
find_program(PYEDGE_RISCV_GCC riscv64-unknown-elf-gcc REQUIRED)
set(CMAKE_C_COMPILER ${PYEDGE_CLANG})
set(CMAKE_ASM_COMPILER ${PYEDGE_CLANG})
execute_process(COMMAND ${PYEDGE_RISCV_GCC} -march=${PYEDGE_MARCH_BASE} -mabi=${PYEDGE_MABI} -print-libgcc-file-name
                OUTPUT_VARIABLE PYEDGE_LIBGCC OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
# -fno-math-errno: otherwise the FMA builtins become calls. -mno-relax: lld and GNU as relax differently.
set(CMAKE_C_FLAGS_INIT "--target=riscv32-unknown-elf -march=${PYEDGE_MARCH}_zicsr -mabi=${PYEDGE_MABI} -mno-relax -fno-math-errno")
set(CMAKE_ASM_FLAGS_INIT ${CMAKE_C_FLAGS_INIT})
set(CMAKE_EXE_LINKER_FLAGS_INIT "--ld-path=${PYEDGE_LLD} -nostdlib -static")
set(PYEDGE_RUNTIME_LIB ${PYEDGE_LIBGCC})
