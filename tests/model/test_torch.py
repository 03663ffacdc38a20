"""PyTorch modules through torch.onnx.export: what pyedge computes is what torch computes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch_models import MODELS, export, torch, trained

import pyedge as pe

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "pytorch.md"
TOLERANCE = 1e-4


CASES = [(name, exporter) for name in MODELS for exporter in ("dynamo", "torchscript")]
CASES.remove(("encoder", "torchscript"))  # torch 2.13 itself can't trace it: its is_causal becomes a tensor


@pytest.mark.filterwarnings("ignore")  # of the exporters
@pytest.mark.parametrize("name, exporter", CASES)
def test_an_exported_module_computes_what_torch_computes(name: str, exporter: str, tmp_path: Path) -> None:
    """Within 1e-4, for a batch that the file leaves open and an export with another."""
    make, shape = MODELS[name]
    module, path = trained(make), tmp_path / "model.onnx"
    export(module, torch.randn(2, *shape), path, exporter)
    for batch in (1, 3):
        x = torch.randn(batch, *shape)
        with torch.no_grad():
            expected = module(x).numpy()
        graph = pe.load(path, batch=batch)
        y = pe.Session(pe.compile(graph)).run({"x": x.numpy()})["y"]
        assert y.shape == expected.shape
        assert np.abs(y - expected).max() < TOLERANCE
        assert y.std() > 1e-3  # something was computed


def test_the_document_s_examples_run(tmp_path: Path) -> None:
    """Each Python block of docs/pytorch.md, as one program: later blocks use what earlier ones made."""
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
