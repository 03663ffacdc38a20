# arm-none-eabi-gcc, without any libc.
include(${CMAKE_CURRENT_LIST_DIR}/cortexm.cmake)
find_program(PYEDGE_ARM_GCC arm-none-eabi-gcc REQUIRED)
set(CMAKE_C_COMPILER ${PYEDGE_ARM_GCC})
set(CMAKE_ASM_COMPILER ${PYEDGE_ARM_GCC})
set(CMAKE_C_FLAGS_INIT "${PYEDGE_CPU}")
set(CMAKE_ASM_FLAGS_INIT ${CMAKE_C_FLAGS_INIT})
set(CMAKE_EXE_LINKER_FLAGS_INIT "-nostdlib -static")
set(PYEDGE_RUNTIME_LIB -lgcc)
