# riscv64-unknown-elf-gcc, without any libc.
include(${CMAKE_CURRENT_LIST_DIR}/rv32.cmake)
find_program(PYEDGE_RISCV_GCC riscv64-unknown-elf-gcc REQUIRED)
set(CMAKE_C_COMPILER ${PYEDGE_RISCV_GCC})
set(CMAKE_ASM_COMPILER ${PYEDGE_RISCV_GCC})
# Not _zicsr: no multilib has it, and the link would silently take the rv64 libgcc. In ISA 2.2 it is part of I.
# GCC 12 has no vector intrinsics: cores with vectors get the code of those without, of the same bits.
set(PYEDGE_RVV OFF)
set(PYEDGE_ZVFH OFF)
set(CMAKE_C_FLAGS_INIT "-march=${PYEDGE_MARCH_BASE} -mabi=${PYEDGE_MABI} -misa-spec=2.2")
set(CMAKE_ASM_FLAGS_INIT ${CMAKE_C_FLAGS_INIT})
set(CMAKE_EXE_LINKER_FLAGS_INIT "-nostdlib -static")
set(PYEDGE_RUNTIME_LIB -lgcc)
