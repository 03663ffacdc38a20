"""PyTorch modules of many kinds, and their export; tests that import this are skipped where torch is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; ./setup dev installs it")
pytest.importorskip("onnxscript", reason="onnxscript is not installed; ./setup dev installs it")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402


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
