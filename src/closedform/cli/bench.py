"""``closedform bench``: how fast training steps are."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from closedform.architecture import nearest
from closedform.cli.options import path, whole
from closedform.cli.output import spare

if TYPE_CHECKING:
    from closedform.cli.options import Commands


def add(commands: Commands) -> None:
    """Add the command to the others."""
    from closedform.bench.networks import NAMES

    bench = commands.add_parser(
        "bench", help="time training steps next to the processor's peak", allow_abbrev=False
    )
    bench.add_argument(
        "nets",
        metavar="NET",
        nargs="*",
        type=_benched,
        help=f"{', '.join(NAMES)}, or a FILE.toml; default: all of these",
    )
    bench.add_argument(
        "--batches", metavar="N", nargs="+", type=whole(1, 1 << 24), default=[1, 32, 128],
        help="default: 1 32 128",
    )  # fmt: skip
    bench.add_argument("--threads", metavar="N", type=whole(1, 1 << 12), help="default: all processors")
    bench.add_argument("--json", metavar="FILE", type=path, help="write the figures there too")
    bench.set_defaults(run=_bench)


def _benched(text: str) -> str:
    from closedform.bench.networks import NAMES

    if text in NAMES or text.endswith(".toml"):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is unknown; {nearest(text, NAMES)}")


def _bench(options: argparse.Namespace) -> int:
    from closedform.bench.networks import NAMES, network
    from closedform.bench.steps import HEADER, Timing, machine, measured
    from closedform.engine.threads import thread_count
    from closedform.runs.run_file import read_network

    for name in options.nets if options.json is not None else ():
        if name.endswith(".toml"):
            spare(options.json, Path(name), "--json")
    networks = [
        (Path(name).stem, read_network(name)) if name.endswith(".toml") else (name, network(name))
        for name in options.nets or NAMES
    ]
    threads = thread_count(options.threads)
    found: list[Timing] = []

    def save() -> None:
        if options.json is not None:
            steps = [timing.to_dict() for timing in found]
            report = {"machine": machine(), "threads": threads, "steps": steps}
            options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    timings = measured(networks, options.batches, threads)
    save()  # where it cannot be written, nothing is measured
    print(f"{machine()}, {threads} {'thread' if threads == 1 else 'threads'}")
    print(f"training steps by fit and SGD, microseconds: minimum (median)\n\n{HEADER}", flush=True)
    for timing in timings:
        found.append(timing)
        print(timing, flush=True)
        save()
    return 0
