# Finds zig of the PyPI package ziglang, as the compiler of both languages.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PYEDGE_ZIG)
if(NOT PYEDGE_ZIG)
  find_program(PYEDGE_PYTHON NAMES python3 python REQUIRED)
  execute_process(COMMAND ${PYEDGE_PYTHON} -c "import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))"
                  OUTPUT_VARIABLE PYEDGE_ZIG OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endif()
set(CMAKE_C_COMPILER ${PYEDGE_ZIG} cc)
set(CMAKE_ASM_COMPILER ${PYEDGE_ZIG} cc)
