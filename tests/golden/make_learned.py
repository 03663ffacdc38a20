"""Writes learned.json with what the portable kernels learn: python tests/golden/make_learned.py DATA.

DATA: the folder of real models and inputs. Only when docs/arithmetic.md changed, or the ops of a training step did.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["PYEDGE_ISA"] = "portable"

from learned_models import CASES, RECORD, learn

if __name__ == "__main__":
    record = {" ".join(case): learn(Path(sys.argv[1]), *case) for case in CASES}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{len(record)} cases")
