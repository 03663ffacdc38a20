# Firmware images that the wheel carries, each by a build of its own (another compiler, other flags). Included by the
# package's CMakeLists.txt. PYEDGE_FIRMWARE: AUTO (images for bare cores if a cross compiler is found), ON (or fail), OFF.
execute_process(
  COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/scripts/list_images.py ${CMAKE_CURRENT_SOURCE_DIR}/boards
  OUTPUT_VARIABLE images OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE ";" "|" images "${images}")
string(REPLACE "\n" ";" images "${images}")

# The first cross compiler that there is, in the order of pyedge/host/build.py.
find_program(PYEDGE_CLANG NAMES clang-19 clang)
find_program(PYEDGE_LLD ld.lld-19)
find_program(PYEDGE_RISCV_GCC riscv64-unknown-elf-gcc)
find_program(PYEDGE_ARM_GCC arm-none-eabi-gcc)
execute_process(
  COMMAND ${Python_EXECUTABLE} -c "import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))"
  OUTPUT_VARIABLE zig OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
foreach(core "rv32|${PYEDGE_RISCV_GCC}|gcc-riscv64-unknown-elf" "cortexm|${PYEDGE_ARM_GCC}|gcc-arm-none-eabi")
  string(REPLACE "|" ";" core "${core}")
  list(GET core 0 family)
  list(GET core 1 gcc)
  list(GET core 2 package)
  if(PYEDGE_CLANG AND PYEDGE_LLD AND gcc)
    set(toolchain_${family} clang)
  elseif(gcc)
    set(toolchain_${family} gcc)
  elseif(zig)
    set(toolchain_${family} zig)
  elseif(PYEDGE_FIRMWARE STREQUAL ON)
    message(FATAL_ERROR "PYEDGE_FIRMWARE=ON, but no cross compiler for ${family}: "
                        "install ${package}, or clang-19 and lld-19 with it, or the PyPI package ziglang")
  else()
    set(toolchain_${family} "")
  endif()
  message(STATUS "Firmware for ${family} is built by: ${toolchain_${family}}")
endforeach()

foreach(image ${images})
  string(REPLACE "|" ";" image "${image}")
  list(GET image 0 port)
  list(GET image 1 isa)
  list(GET image 2 file)
  list(GET image 3 family)
  list(GET image 4 mark)
  set(toolchain "${toolchain_${family}}")
  set(defines -DPYEDGE_BOARD=${port} -DPYEDGE_OUTPUT=${file} -DPYEDGE_VERSION=${SKBUILD_PROJECT_VERSION}
              -DPYEDGE_MARK=${mark})
  if(isa STREQUAL native)
    if(CMAKE_CROSSCOMPILING)
      list(APPEND defines -DCMAKE_TOOLCHAIN_FILE=${CMAKE_TOOLCHAIN_FILE})
    else()
      list(APPEND defines -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER})
    endif()
  elseif(toolchain STREQUAL "")
    continue()
  else()
    list(APPEND defines -DCMAKE_TOOLCHAIN_FILE=${CMAKE_CURRENT_SOURCE_DIR}/firmware/cmake/${toolchain}-${family}.cmake -DPYEDGE_MARCH=${isa})
  endif()
  if(toolchain STREQUAL zig)
    list(APPEND defines -DPYEDGE_ZIG=${zig})
  endif()
  set(work ${CMAKE_CURRENT_BINARY_DIR}/firmware/${file}-build)
  # Flags from the environment are for the extension; they would change the image, or not compile at all.
  add_custom_target(firmware-${file} ALL
    COMMAND ${CMAKE_COMMAND} -E env --unset=CFLAGS --unset=ASMFLAGS --unset=CPPFLAGS --unset=LDFLAGS
            ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_SOURCE_DIR}/firmware -B ${work} -G ${CMAKE_GENERATOR}
            -DCMAKE_MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM} ${defines}
    COMMAND ${CMAKE_COMMAND} --build ${work}
    COMMENT "Firmware ${file}" VERBATIM)
  if(isa STREQUAL native)
    install(PROGRAMS ${work}/${file} DESTINATION pyedge/_firmware/prebuilt)
  else()
    install(FILES ${work}/${file} DESTINATION pyedge/_firmware/prebuilt)
  endif()
endforeach()
