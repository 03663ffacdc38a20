# clang and lld; the helpers for doubles and 64-bit division come from arm-none-eabi-gcc's libgcc.
include(${CMAKE_CURRENT_LIST_DIR}/cortexm.cmake)
find_program(PYEDGE_CLANG NAMES clang-19 clang REQUIRED)
find_program(PYEDGE_LLD NAMES ld.lld-19 ld.lld REQUIRED)
find_program(PYEDGE_ARM_GCC arm-none-eabi-gcc REQUIRED)
set(CMAKE_C_COMPILER ${PYEDGE_CLANG})
set(CMAKE_ASM_COMPILER ${PYEDGE_CLANG})
separate_arguments(cpu UNIX_COMMAND "${PYEDGE_CPU}")
execute_process(COMMAND ${PYEDGE_ARM_GCC} ${cpu} -print-libgcc-file-name
                OUTPUT_VARIABLE PYEDGE_LIBGCC OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
# -meabi gnu: memcpy and not __aeabi_memcpy. -fno-math-errno: otherwise the FMA builtins become calls.
set(CMAKE_C_FLAGS_INIT "--target=arm-none-eabi ${PYEDGE_CPU} -meabi gnu -fno-math-errno")
set(CMAKE_ASM_FLAGS_INIT "--target=arm-none-eabi ${PYEDGE_CPU}")
set(CMAKE_EXE_LINKER_FLAGS_INIT "--ld-path=${PYEDGE_LLD} -nostdlib -static")
set(PYEDGE_RUNTIME_LIB ${PYEDGE_LIBGCC})
