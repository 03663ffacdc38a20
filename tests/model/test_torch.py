"""PyTorch modules through torch.onnx.export: what pyedge computes is what torch computes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe

torch = pytest.importorskip("torch", reason="torch is not installed; ./setup dev installs it")
pytest.importorskip("onnxscript", reason="onnxscript is not installed; ./setup dev installs it")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "pytorch.md"
TOLERANCE = 1e-4


class Function(nn.Module):
    """A module of parts and a function of them and the input."""

    def __init__(self, forward: Any, **parts: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU6(), nn.Dropout(0.3)),
        *(nn.Flatten(), nn.Linear(16 * 4 * 4, 10), nn.Softmax(-1)),
    )


def mobile() -> nn.Module:
    """Depthwise-separable layers with a residual and a squeeze-and-excite gate."""

    def separable(channels: int, out: int, stride: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
        pointwise = nn.Conv2d(channels, out, 1, bias=False)
        return [depthwise, nn.BatchNorm2d(channels), nn.ReLU6(), pointwise, nn.BatchNorm2d(out), nn.Hardswish()]

    def forward(m: Any, x: Any) -> Any:
        h = m.stem(x)
        h = h + m.block(h)
        h = m.down(h * m.gate(h))
        return m.head(h.flatten(1))

    return Function(
        forward,
        stem=nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish()),
        block=nn.Sequential(*separable(8, 8, 1)),
        gate=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid()),
        down=nn.Sequential(*separable(8, 16, 2), nn.AdaptiveAvgPool2d(1)),
        head=nn.Linear(16, 5),
    )


def sound() -> nn.Module:
    """Convolutions along time, grouped and dilated."""
    return nn.Sequential(
        *(nn.Conv1d(6, 8, 5, padding=2, groups=2), nn.BatchNorm1d(8), nn.PReLU(8), nn.AvgPool1d(2)),
        *(nn.Conv1d(8, 12, 3, dilation=2), nn.SiLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(12, 4)),
    )


def pictures() -> nn.Module:
    """Down and up again, with a skip connection: what segmentation networks do."""

    def forward(m: Any, x: Any) -> Any:
        low = m.down(x)
        up = torch.cat([m.up(low), functional.interpolate(low, scale_factor=2.0, mode="bilinear")], 1)
        return torch.sigmoid(m.last(functional.leaky_relu(functional.pad(up, (1, 1, 1, 1)))))

    return Function(
        forward,
        down=nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ELU()),
        up=nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1),
        last=nn.Conv2d(10, 2, 3),
    )


def recurrent(kind: type[nn.Module], **options: Any) -> nn.Module:
    width = 12 * (2 if options.get("bidirectional") else 1)
    cell = kind(6, 12, batch_first=True, **options)
    return Function(lambda m, x: m.head(m.cell(x)[0][:, -1]), cell=cell, head=nn.Linear(width, 4))


def attention() -> nn.Module:
    """A transformer's block of nn.MultiheadAttention, layer norms and a GELU network."""

    def forward(m: Any, x: Any) -> Any:
        h = m.norm(x)
        x = x + m.attend(h, h, h, need_weights=False)[0]
        return x + m.mlp(x)

    return Function(
        forward,
        norm=nn.LayerNorm(16),
        attend=nn.MultiheadAttention(16, 4, batch_first=True),
        mlp=nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)),
    )


def causal_attention() -> nn.Module:
    """scaled_dot_product_attention with a causal mask."""

    def forward(m: Any, x: Any) -> Any:
        batch, steps, width = x.shape
        q, k, v = m.qkv(m.norm(x)).reshape(batch, steps, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + m.out(y.transpose(1, 2).reshape(batch, steps, width))

    return Function(forward, norm=nn.LayerNorm(16), qkv=nn.Linear(16, 48), out=nn.Linear(16, 16))


def encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)


MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "cnn": (cnn, (3, 16, 16)),
    "mobile": (mobile, (3, 20, 20)),
    "sound": (sound, (6, 40)),
    "pictures": (pictures, (3, 12, 12)),
    "rnn": (lambda: recurrent(nn.RNN), (7, 6)),
    "lstm": (lambda: recurrent(nn.LSTM), (7, 6)),
    "deep lstm": (lambda: recurrent(nn.LSTM, num_layers=2, bidirectional=True), (7, 6)),
    "gru": (lambda: recurrent(nn.GRU, num_layers=2), (7, 6)),
    "attention": (attention, (9, 16)),
    "causal attention": (causal_attention, (9, 16)),
    "encoder": (encoder, (9, 16)),
}


def trained(make: Any) -> nn.Module:
    """The module in eval mode, with statistics in its batch norms as training leaves them."""
    torch.manual_seed(0)
    module = make().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for values, low, high in ((part.running_mean, -1, 1), (part.running_var, 0.5, 2), (part.weight, 0.5, 2)):
                nn.init.uniform_(values, low, high)
    return module


def export(module: nn.Module, x: Any, path: Path, exporter: str) -> None:
    """An .onnx file with an open batch, by the exporter of today or the one before it."""
    names = {"input_names": ["x"], "output_names": ["y"]}
    if exporter == "dynamo":
        torch.onnx.export(module, (x,), path, dynamic_shapes=({0: torch.export.Dim("batch")},), dynamo=True, **names)
    else:
        torch.onnx.export(
            module, (x,), path, dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}}, dynamo=False, **names
        )


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
