"""Trainings killed at random moments, also while a checkpoint is written, until one ends."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from kill_cases import CASES, CLASSES, READY, examples
from processes import environment

from closedform.training.checkpoint import newest

_LONGEST_LIFE = 120.0


@dataclass
class Run:
    """A training that was killed, and what came of it.

    Attributes
    ----------
    kills, halfway, elsewhere
        How often it was killed, how often of those while a checkpoint was being written, and how often while
        another file was.
    bits
        How many bits of what must not depend on that differ from the training that was never killed.
    failures
        What must not happen: exceptions, damaged checkpoints, files left behind.
    """

    name: str
    kills: int = 0
    halfway: int = 0
    elsewhere: int = 0
    bits: int = 0
    failures: list[str] = field(default_factory=list)


class Fitted:
    """A training by `Network.fit`, in a process of its own."""

    def __init__(self, name):
        self.name = name

    def arguments(self, folder):
        return [str(Path(__file__).with_name("kill_cases.py")), self.name, str(folder)]

    def is_ready(self, process, folder, before):
        return process.stdout.readline().strip() == READY or process.poll() is not None

    def result(self, folder):
        with np.load(folder / "result.npz") as arrays:
            found = {key: arrays[key] for key in arrays.files}
        for name in ("figures.csv", "best.safetensors"):
            if (folder / name).exists():
                found[name] = np.fromfile(folder / name, np.uint8)
        return found

    def plain(self, folder):
        """The same training without checkpoints."""
        net, _ = CASES[self.name].trained(folder, None)
        return {f"parameters.{key}": np.array(array) for key, array in net.parameters.items()}


_RUN_FILES = {
    "command": "",
    "command, stopped early, augmented, dropout": """
[data]
standardize = true
validation = 0.2
augment = { flip = true, shift = 1 }
[network]
input_shape = [1, 8, 8]
loss = "SoftmaxCrossEntropy"
[[layer]]
type = "Conv2d"
out_channels = 4
kernel_size = 3
[[layer]]
type = "ReLU"
[[layer]]
type = "Flatten"
[[layer]]
type = "Dropout"
p = 0.3
[[layer]]
type = "Dense"
out_features = 4
[training]
optimizer = { type = "SGD", learning_rate = 0.02, momentum = 0.9 }
clip_norm = 1.0
epochs = 30
threads = 2
[[training.callbacks]]
type = "EarlyStopping"
patience = 4
restore_best_weights = true
[[training.callbacks]]
type = "ReduceLROnPlateau"
patience = 1
""",
    "command, one cycle, reference": """
[training]
engine = "reference"
schedule = { type = "OneCycle" }
optimizer = { type = "AdamW", learning_rate = 0.01 }
label_smoothing = 0.1
epochs = 8
""",
}


class Command:
    """A run of ``closedform train``."""

    def __init__(self, name):
        self.name = name

    def arguments(self, folder):
        place = folder.parent / "run.toml"
        x, y = examples(1, 150)
        images = np.clip(x[:, 0] * 40 + 128, 0, 255).astype(np.uint8)
        assert len(set(y.tolist())) == CLASSES
        parts = {"x_train": images[:120], "y_train": y[:120], "x_test": images[120:], "y_test": y[120:]}
        np.savez(folder.parent / "data.npz", **parts)
        text = _RUN_FILES[self.name]
        data = f"path = {json.dumps(str(folder.parent / 'data.npz'))}"
        text = text.replace("[data]", f"[data]\n{data}") if "[data]" in text else f"[data]\n{data}\n{text}"
        text = text if "[training]" in text else f"{text}[training]\nepochs = 6\n"
        text = text.replace("[training]", "[training]\nbatch_size = 16\ncheckpoint_seconds = 0")
        place.write_text(text)
        options = ["--out", str(folder), "--resume", "--no-pictures", "--json"]
        return ["-m", "closedform", "train", str(place), *options]

    def is_ready(self, process, folder, before):
        """Just before it trains, it writes its run file."""
        while process.poll() is None and _written(folder / "run.toml") == before:
            time.sleep(0.001)
        return True

    def result(self, folder):
        found = {
            name: np.fromfile(folder / name, np.uint8) for name in ("model.safetensors", "history.csv")
        }  # fmt: skip
        results = json.loads((folder / "run.json").read_text())
        for word in ("seconds", "epoch_seconds", "model", "data"):
            del results[word]
        found["run.json"] = np.frombuffer(json.dumps(results).encode(), np.uint8)
        last = newest(folder / "checkpoint")
        return found | {f"checkpoint.{name}": array for name, array in last.arrays.items()}

    def plain(self, folder):
        return {}


TARGETS = {**{name: Fitted(name) for name in CASES}, **{name: Command(name) for name in _RUN_FILES}}


class Slaughter:
    """Kills trainings, each in a folder below one.

    Parameters
    ----------
    place
        A folder.
    seed
        Decides the moments, as far as a clock lets it.
    """

    def __init__(self, place, seed=0):
        self.place, self.seed = Path(place), seed
        self._undisturbed = {}
        self._number = 0

    def run(self, name, kills):
        """Kill one training so many times, or until it ends, and compare it with one that was not killed."""
        self._number += 1
        chance = random.Random(f"{self.seed} {self._number} {name}")
        target, run = TARGETS[name], Run(name)
        expected, seconds = self._expected(name)
        folder = self.place / str(self._number) / "run"
        folder.mkdir(parents=True)
        for _ in range(kills):
            if not self._killed(target, run, folder, chance, 1.2 * seconds / (kills + 1)):
                break
        else:
            self._killed(target, run, folder, None, 0)
        if not run.failures:
            run.bits = differing_bits(expected, target.result(folder))
            left = _temporary(folder, "checkpoint") | _temporary(folder)
            run.failures += [f"left behind: {name}" for name in sorted(left)]
        return run

    def _expected(self, name):
        """What a training that is not killed comes to, and how long it trains."""
        if name not in self._undisturbed:
            target, run, folder = TARGETS[name], Run(name), self.place / f"undisturbed {name}" / "run"
            folder.mkdir(parents=True)
            seconds = self._killed(target, run, folder, None, 0)
            if run.failures:
                raise AssertionError(f"{name}: {run.failures}")
            found = target.result(folder)
            plain = target.plain(folder)
            assert differing_bits(plain, {key: found[key] for key in plain}) == 0
            self._undisturbed[name] = found, -seconds
        return self._undisturbed[name]

    def _killed(self, target, run, folder, chance, longest):
        """Let it live until a moment of chance; a number below 0 where it ended first: minus its seconds."""
        arguments = target.arguments(folder)
        known = _temporary(folder) | _temporary(folder, "checkpoint")
        before = _written(folder / "run.toml")
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            target.is_ready(process, folder, before)
            began = time.perf_counter()
            if chance is not None:
                _wait(process, folder, chance, longest, known)
                process.send_signal(signal.SIGKILL)
            _, error = process.communicate(timeout=_LONGEST_LIFE)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        if process.returncode != -signal.SIGKILL:
            if process.returncode != 0:
                run.failures.append(error.strip())
            return -max(time.perf_counter() - began, 1e-9)
        run.kills += 1
        is_halfway = bool(_temporary(folder, "checkpoint") - known) or _count(folder / "checkpoint") > 2
        run.halfway += is_halfway
        run.elsewhere += bool(_temporary(folder) - known)
        try:
            found = newest(folder / "checkpoint")
        except Exception as error:
            run.failures.append(repr(error))
        else:
            if found is not None and found.note:
                run.failures.append(found.note)
        return 1.0


def _wait(process, folder, chance, longest, known):
    """Until a moment of chance, which is often one in which a file is being written."""
    end = time.perf_counter() + chance.uniform(0, longest)
    while time.perf_counter() < end and process.poll() is None:
        time.sleep(0.0002)
    if chance.random() < 0.5:
        return
    end = time.perf_counter() + longest + 1
    while time.perf_counter() < end and process.poll() is None:
        if (_temporary(folder, "checkpoint") | _temporary(folder)) - known:
            break
    time.sleep(chance.choice([0, 0, chance.uniform(0, 0.001), chance.uniform(0, 0.008)]))


def _temporary(folder, name="."):
    """The files that are being written, or were when their writer was killed."""
    try:
        return {f"{name}/{each}" for each in os.listdir(folder / name) if each.startswith(".")}
    except FileNotFoundError:
        return set()


def _count(folder):
    """How many generations are there."""
    return len(list(folder.glob("??????.safetensors"))) if folder.exists() else 0


def _written(path):
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def differing_bits(expected, found):
    """In how many bits arrays of the same names differ; what is missing or of another form counts in full."""
    differing = 0
    for key in sorted({*expected, *found}):
        one, other = expected.get(key), found.get(key)
        if one is None or other is None or (one.dtype, one.shape) != (other.dtype, other.shape):
            differing += 8 * max(0 if each is None else each.nbytes for each in (one, other)) or 1
            continue
        bits = np.frombuffer(one.tobytes(), np.uint8) ^ np.frombuffer(other.tobytes(), np.uint8)
        differing += int(np.unpackbits(bits).sum())
    return differing
