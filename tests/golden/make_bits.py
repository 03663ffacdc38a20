"""Writes bits.json and pyedge/host/golden.bin, of the outputs of the portable kernels: python tests/golden/make_bits.py

Only when the arithmetic of docs/arithmetic.md changed, or cases did.
"""

from __future__ import annotations

import json
import os

os.environ["PYEDGE_ISA"] = "portable"

from bits_cases import RECORD, cases, digest

import pyedge as pe
from pyedge.host import golden

if __name__ == "__main__":
    record = {c.name: digest(pe.Session(pe.compile(c.graph, **c.options)).run(c.feeds)) for c in cases()}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    golden.RECORD.write_bytes(b"".join(bytes.fromhex(text)[: golden.DIGEST_BYTES] for text in record.values()))
    print(f"{len(record)} cases")
