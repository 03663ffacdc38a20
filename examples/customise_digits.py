"""A model of digits meets a user whose handwriting it does not know, and learns it on the board.

Run: python examples/customise_digits.py [--seeds 5] [--board virt-rv32]    (needs scikit-learn, for its digits)

The generic expert, a CNN, stays as it is. Beside its last layer a local expert learns from 60 digits of the user, and a
gate learns whether a digit is the user's; an `if` then runs one or the other. Source: Zhang, Davoodi and Hu, "A Mixture
of Expert Approach for Low-Cost Customization of Deep Neural Networks", 2018. Two controls: the whole generic expert
learns from the user's digits, and the local expert without a gate.
"""

from __future__ import annotations

import argparse

import numpy as np

import pyedge as pe

Array = np.ndarray
TEST = 600  # digits nobody learns from
USER = 60  # digits that the user writes
KEPT = 120  # digits of the generic training set that come with the model, so that the gate knows others, too
GENERIC_EPOCHS, EPOCHS = 12, 60
FEATURES, CLASSES = 64, 10


def digits(seed: int) -> tuple[Array, Array, Array, Array]:
    """Images float32 [N, 8, 8, 1] in 0 .. 1 and labels of 1,197 training digits and of TEST others."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    x, y = (data.images[order, ..., None] / 16).astype(np.float32), data.target[order]
    return x[TEST:], y[TEST:], x[:TEST], y[:TEST]


def handwriting(x: Array, degrees: float = 40, shear: float = 0.2) -> Array:
    """Images as the user writes them: turned and sheared about their middle, bilinear."""
    angle, middle = np.deg2rad(degrees), (x.shape[1] - 1) / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ [[1, shear], [0, 1]]
    grid = np.stack(np.meshgrid(*2 * [np.arange(x.shape[1])], indexing="ij"), -1) - middle
    at = (grid @ turn.T + middle).clip(-1, x.shape[1]) + 1  # in the image with a border of zeros
    padded = np.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)))
    corner = np.floor(at).astype(int)
    part = (at - corner)[None, ..., None]
    result = np.zeros_like(x)
    for i, j in np.ndindex(2, 2):
        weight = np.where(i, part[..., 0, :], 1 - part[..., 0, :]) * np.where(j, part[..., 1, :], 1 - part[..., 1, :])
        result += (weight * padded[:, corner[..., 0] + i, corner[..., 1] + j]).astype(np.float32)
    return result


def backbone(b: pe.GraphBuilder, weights: dict[str, Array]) -> pe.Tensor:
    """Three convolutions and a mean: features [1, 64]."""
    h = b.input("image", (1, 8, 8, 1))
    for name in ("conv1", "conv2", "conv3"):
        h = b.conv2d(h, weights[f"{name}/w"], weights[f"{name}/b"], activation="relu", name=name)
        h = b.mean(h, (1, 2)) if name == "conv3" else b.max_pool2d(h, 2)
    return h


def generic_expert(weights: dict[str, Array]) -> pe.Graph:
    """The CNN alone: 23,946 parameters."""
    b = pe.GraphBuilder("generic")
    b.output("scores", b.linear(backbone(b, weights), weights["head/w"], weights["head/b"], name="head"))
    return b.build()


def two_experts(weights: dict[str, Array]) -> pe.Graph:
    """The same with a local expert, which begins as the head of the generic one, and a gate, which begins open."""
    b = pe.GraphBuilder("two experts")
    h = backbone(b, weights)
    gate = b.linear(h, np.zeros((1, FEATURES)), np.ones(1), name="gate")
    local = b.linear(h, weights["head/w"], weights["head/b"], name="local")
    scores = b.cond(
        b.any_ge(gate, 0),
        lambda then: then.reshape(local, (1, CLASSES)),
        lambda other: other.linear(h, weights["head/w"], weights["head/b"], name="head"),
    )
    b.output("scores", scores[0])
    b.output("gate", gate)
    return b.build()


def initial(rng: np.random.Generator) -> dict[str, Array]:
    """Weights scaled for ReLU (He), biases 0."""
    shapes = {"conv1": (16, 3, 3, 1), "conv2": (32, 3, 3, 16), "conv3": (64, 3, 3, 32), "head": (CLASSES, FEATURES)}
    weights: dict[str, Array] = {}
    for name, shape in shapes.items():
        weights[f"{name}/w"] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        weights[f"{name}/b"] = np.zeros(shape[0], np.float32)
    return weights


def weights_of(graph: pe.Graph) -> dict[str, Array]:
    """Weights and biases of a graph's layers, by NAME/w and NAME/b."""
    layers = [op for op in graph.ops if op.kind in ("conv2d", "linear")]
    names = {f"{op.name}/{end}": str(op.inputs[i]) for op in layers for i, end in ((1, "w"), (2, "b"))}
    return {name: np.asarray(graph.tensors[constant].data) for name, constant in names.items()}


def accuracy(graph: pe.Graph, x: Array, y: Array) -> float:
    """Percent of images, one at a time, whose highest score is their label's."""
    session = pe.Session(pe.compile(graph))
    return 100 * float(np.mean([session.run({"image": image[None]})["scores"].argmax() for image in x] == y))


def learn(trainer: pe.Trainer, x: Array, y: Array, board: str | None, epochs: int = EPOCHS) -> pe.Graph:
    """The graph after some epochs, which ran on a board if there is one; with the same bits as here."""
    if board is None:
        trainer.fit(x, y, epochs)
    else:
        with pe.connect(board) as connected:
            remote = connected.load(trainer.compile(board))
            remote.fit(x, y, epochs)
            trainer.go_on_from(remote.state(), remote.epoch)
    return trainer.graph()


def customise(
    generic: pe.Graph, user: tuple[Array, Array], kept: Array, seed: int, board: str | None = None, epochs: int = EPOCHS
) -> pe.Graph:
    """Generic and local expert with a gate, from the user's images and labels, and images of others."""
    x, y = user
    graph, sgd = two_experts(weights_of(generic)), pe.SGD(0.05, momentum=0.9)
    local = pe.Trainer(graph, optimizer=sgd, trainable="local", output="scores", seed=seed)
    learned = learn(local, x, y, board, epochs)
    gate = pe.Trainer(learned, "bce", sgd, trainable="gate", output="gate", seed=seed)
    is_user = np.repeat([1.0, 0.0], [len(x), len(kept)])[:, None]
    return learn(gate, np.concatenate([x, kept]), is_user, board, epochs)


def open_gate(graph: pe.Graph) -> pe.Graph:
    """The local expert without a gate."""
    graph = graph.copy()
    gate = next(op for op in graph.ops if op.name == "gate")
    for name, value in zip(gate.inputs[1:], (0, 1), strict=True):
        t = graph.tensors[str(name)]
        t.data = np.full_like(np.asarray(t.data), value)
    return graph


def experiment(
    seed: int, board: str | None = None, generic_epochs: int = GENERIC_EPOCHS, epochs: int = EPOCHS
) -> dict[str, tuple[float, float]]:
    """Accuracy in percent on digits of the user, and on generic ones, of four models."""
    x, y, x_test, y_test = digits(seed)
    first = generic_expert(initial(np.random.default_rng(seed)))
    steps = generic_epochs * -(-len(x) // 16)
    made = pe.Trainer(first, optimizer=pe.Adam(pe.OneCycle(4e-3, steps)), batch_size=16, seed=seed)
    made.fit(x, y, generic_epochs)
    generic = made.graph()
    user = handwriting(x[:USER]), y[:USER]
    kept = x[-KEPT:]
    both = customise(generic, user, kept, seed, board, epochs)
    whole = pe.Trainer(generic, optimizer=pe.SGD(0.01, momentum=0.9), seed=seed)
    turned = handwriting(x_test)
    models = {
        "generic expert": generic,
        "with local expert and gate": both,
        "local expert without gate": open_gate(both),
        "full fine-tuning": learn(whole, *user, board=None, epochs=epochs),
    }
    return {name: (accuracy(graph, turned, y_test), accuracy(graph, x_test, y_test)) for name, graph in models.items()}


def overhead(seed: int = 0) -> tuple[float, float]:
    """Parameters and MACs that local expert and gate add to the generic expert, in percent of its own."""
    weights = initial(np.random.default_rng(seed))
    added = FEATURES * CLASSES + CLASSES + FEATURES + 1
    own = sum(w.size for w in weights.values())
    macs = pe.compile(generic_expert(weights)).macs
    return 100 * added / own, 100 * (FEATURES * CLASSES + FEATURES) / macs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5, help="experiments, of which the mean is shown")
    parser.add_argument("--board", help="where local expert and gate learn; here if left out")
    given = parser.parse_args()
    found = [experiment(seed, given.board) for seed in range(given.seeds)]
    print(f"{'accuracy in %, mean of ' + str(given.seeds):32}{'user':>8}{'generic':>10}")
    for name in found[0]:
        user, generic = np.mean([result[name] for result in found], axis=0)
        print(f"{name:32}{user:8.1f}{generic:10.1f}")
    parameters, macs = overhead()
    print(f"local expert and gate add {parameters:.2f} % of parameters, {macs:.2f} % of MACs (paper: 2.5 % of energy)")


if __name__ == "__main__":
    main()
