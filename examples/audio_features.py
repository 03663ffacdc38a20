"""From sound to features to a model, first over a clip, then as a stream.

Run: python examples/audio_features.py
The sound is made here, and the model is an untrained layer; the steps are those of a keyword spotter.
"""

import numpy as np

import pyedge as pe

RATE = 16000


def chirp(seconds: float) -> np.ndarray:
    """A rising tone, int16."""
    t = np.arange(int(seconds * RATE)) / RATE
    return (8000 * np.sin(2 * np.pi * (200 + 1500 * t) * t)).astype(np.int16)


def main() -> None:
    samples = chirp(1.0)

    # The features of a clip, as for training: windows of 30 ms each 20 ms, 40 channels, int8.
    features = pe.audio.features(samples)
    print(f"{samples.size} samples -> {features.shape[0]} frames of {features.shape[1]} channels")
    print("loudest channel of each fifth frame:", features.argmax(1)[::5].tolist())

    # A model that looks at the last 49 frames.
    b = pe.GraphBuilder("untrained")
    x = b.input("features", (1, 49, 40, 1), "float32")
    weight = np.random.default_rng(1).normal(0, 0.01, (3, 49 * 40)).astype(np.float32)
    b.output("scores", b.softmax(b.linear(b.reshape(x, (1, -1)), weight)))
    model = b.build()

    # With the front end before it: each run takes 20 ms of sound. The same plan runs on a board:
    # pyedge compile --board virt-rv32, or board.load(plan) and board.run(...).
    plan = pe.compile(pe.audio.attach(model))
    session = pe.Session(plan)
    scores = [session.run({"samples": part})["scores"] for part in samples.reshape(-1, RATE // 50)]
    print(f"{plan}: {len(scores)} runs, scores after the last one {np.round(scores[-1], 3).tolist()}")


if __name__ == "__main__":
    main()
