"""Turns csrc/include/plan_structs.h into the Python module pyedge._plan_structs (cffi, out of line, ABI mode).

Generated at build: parsing the header when pyedge is imported would cost tens of milliseconds, and the wheel needs no
header then. Usage: make_structs.py plan_structs.h OUTPUT.py
"""

import sys
from pathlib import Path

from cffi import FFI


def main(header: str, output: str) -> None:
    ffi = FFI()
    ffi.set_source("pyedge._plan_structs", None)
    ffi.cdef(Path(header).read_text(encoding="utf-8"))
    ffi.emit_python_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
