"""A keyword spotter meets a new speaker: front end, DS-CNN, a decision from the stream, and learning on the board.

Run: python examples/keyword/new_speaker.py [--board virt-rv32]

The words are made here, of the harmonics of a voice that glides between vowels, so nothing has to be downloaded; all
else is as for recordings: put them where `say` is called. The network is a small DS-CNN (Zhang et al., "Hello Edge",
2017).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import pyedge as pe

Array = np.ndarray
RATE, STEP = 16000, 320  # samples a second; of a run of the front end
FRONT_END = pe.audio.LogMel(window_ms=30, step_ms=20, channels=20)
FRAMES = 49
VOWELS = {"a": (800, 1200), "i": (300, 2300), "u": (320, 800), "e": (450, 1900), "o": (450, 850)}  # formants, Hz
WORDS = {"silence": "", "aiu": "aiu", "uia": "uia", "eo": "eo", "oe": "oe"}
EPOCHS, LEARNING_EPOCHS = 8, 12


@dataclass(frozen=True)
class Speaker:
    """pitch: Hz. tract: what formants are multiplied by; children have 1.3 of an adult's. rate: of speech."""

    pitch: float
    tract: float
    rate: float


def say(word: str, speaker: Speaker, rng: np.random.Generator) -> Array:
    """A second of sound with one of WORDS in it, or with none, int16 [16000]."""
    sound = rng.normal(0, 60, RATE)
    vowels = WORDS[word]
    if vowels:
        length = int(rng.uniform(0.55, 0.65) * RATE / speaker.rate)
        t = np.linspace(0, 1, length)
        places = np.linspace(0, 1, len(vowels))
        formants = [np.interp(t, places, [VOWELS[v][i] for v in vowels]) * speaker.tract for i in (0, 1)]
        pitch = speaker.pitch * rng.uniform(0.9, 1.1) * (1.1 - 0.2 * t)
        phase = 2 * np.pi * np.cumsum(pitch) / RATE
        voice = np.zeros(length)
        for k in range(1, int(4000 / speaker.pitch)):
            strength = sum(np.exp(-(((k * pitch - f) / 150) ** 2)) for f in formants)
            voice += strength * np.sin(k * phase)
        voice *= np.sin(np.pi * t) ** 0.5 * rng.uniform(2000, 6000)
        start = rng.integers(0, RATE - length)
        sound[start : start + length] += voice
    return sound.clip(-32768, 32767).astype(np.int16)


def clips(speakers: list[Speaker], times: int, seed: int) -> tuple[Array, Array]:
    """Features float32 [N, 49, 20, 1] of all words, `times` times by each speaker, and the words' numbers."""
    rng = np.random.default_rng(seed)
    session = pe.Session(pe.compile(pe.audio.graph(FRONT_END, stream=True)))
    x, y = [], []
    for speaker in speakers:
        for number, word in enumerate(WORDS):
            for _ in range(times):
                session.reset()
                parts = say(word, speaker, rng).reshape(-1, STEP)
                frames = [session.run({"samples": part})["features"] for part in parts]
                x.append(np.stack(frames)[-FRAMES:, :, None])
                y.append(number)
    return np.stack(x), np.array(y)


def ds_cnn(rng: np.random.Generator, channels: int = 16) -> pe.Graph:
    """A convolution, two pairs of depthwise and pointwise ones, and a linear layer."""

    def weight(*shape: int, fan_in: int) -> Array:
        return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)

    zeros = np.zeros(channels)
    b = pe.GraphBuilder("ds_cnn")
    h = b.input("features", (1, FRAMES, FRONT_END.channels, 1))
    h = b.conv2d(h, weight(channels, 10, 4, 1, fan_in=40), zeros, stride=2, activation="relu", name="conv")
    for i in (1, 2):
        h = b.depthwise_conv2d(h, weight(3, 3, channels, fan_in=9), zeros, activation="relu", name=f"depthwise{i}")
        w = weight(channels, 1, 1, channels, fan_in=channels)
        h = b.conv2d(h, w, zeros, activation="relu", name=f"pointwise{i}")
    h = b.linear(b.mean(h, (1, 2)), weight(len(WORDS), channels, fan_in=channels), np.zeros(len(WORDS)), name="linear")
    b.output("probabilities", b.softmax(h))
    return b.build()


def generic(epochs: int = EPOCHS, times: int = 6) -> pe.Graph:
    """The network after some epochs on words of eight adults."""
    adults = [Speaker(pitch, tract, rate) for pitch in (100, 130, 170, 210) for tract, rate in ((0.95, 1), (1.05, 1.1))]
    x, y = clips(adults, times, seed=1)
    steps = epochs * -(-len(x) // 8)
    trainer = pe.Trainer(ds_cnn(np.random.default_rng(0)), optimizer=pe.Adam(pe.OneCycle(0.01, steps)), batch_size=8)
    trainer.fit(x, y, epochs)
    return trainer.graph()


def adapt(graph: pe.Graph, x: Array, y: Array, board: str | None = None, epochs: int = LEARNING_EPOCHS) -> pe.Trainer:
    """A trainer after the last layers have learned a speaker's samples, here or on a board."""
    trainer = pe.Trainer(graph, optimizer=pe.SGD(0.02, momentum=0.9), trainable="last:2")
    if board is None:
        trainer.fit(x, y, epochs)
    else:
        with pe.connect(board) as connected:
            remote = connected.load(trainer.compile(board))
            remote.fit(x, y, epochs)
            trainer.go_on_from(remote.state(), remote.epoch)
    return trainer


def decisions(
    run: Callable[[list[Array]], list[Array]], sound: Array, mean_of: int = 8, threshold: float = 0.75
) -> Iterator[tuple[float, str]]:
    """Words in a stream and when they were decided on, in seconds.

    A word counts when its probability, the mean of the last runs, goes over the threshold, and again when another one,
    or silence, has been over it since.
    """
    last = np.zeros((mean_of, len(WORDS)))
    now = 0
    for i, part in enumerate(sound.reshape(-1, STEP)):
        last[i % mean_of] = run([part])[0][0]
        best = int(last.mean(axis=0).argmax())
        if best != now and last.mean(axis=0)[best] > threshold:
            now = best
            if best:
                yield (i + 1) * STEP / RATE, list(WORDS)[best]


def listen(graph: pe.Graph, sound: Array, board: str | None = None) -> list[tuple[float, str]]:
    """The words of a stream, by front end and network in one plan, here or on a board."""
    plan = pe.compile(pe.audio.attach(graph, FRONT_END), board=board or "host")
    if board is None:
        return list(decisions(pe.Session(plan).run, sound))
    with pe.connect(board) as connected:
        return list(decisions(connected.load(plan).run, sound))


CHILD = [Speaker(pitch=300, tract=1.35, rate=1.2)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--board", help="where the last layers learn and the network listens; here if left out")
    board = parser.parse_args().board
    graph = generic()
    x, y = clips(CHILD, times=4, seed=2)
    test = clips(CHILD, times=40, seed=3)
    before = pe.Trainer(graph).evaluate(*test)["accuracy"]
    trainer = adapt(graph, x, y, board)
    after = trainer.evaluate(*test)["accuracy"]
    weights = sum(w.size for w in trainer.weights().values())
    print(f"a new speaker: {100 * before:.1f} % of words, after {len(x)} samples {100 * after:.1f} %")
    arena = trainer.compile(board or "host").arena_bytes
    print(f"the last layers learned: {weights} weights, arena {arena:,} bytes")
    rng = np.random.default_rng(4)
    said = ["aiu", "oe", "uia", "eo"]
    sound = np.concatenate([say(word, CHILD[0], rng) for name in said for word in (name, "silence")])
    print("said: ", ", ".join(said))
    print("heard:", ", ".join(f"{word} at {t:.2f} s" for t, word in listen(trainer.graph(), sound, board)))


if __name__ == "__main__":
    main()
