"""How much memory a plan needs, known before anything runs, and whether the machine has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

from closedform.engine.threads import folders_upwards, positive_number, text_of
from closedform.errors import SettingError

_FLOAT = 4
_ALIGNED = 16  # elements


class Sizes(Protocol):
    """What of a plan decides how much memory it needs; elements of float32, as in `Plan`."""

    @property
    def images(self) -> int:
        """Images that a block has at most."""

    @property
    def together(self) -> int:
        """Images that lie side by side."""

    @property
    def block(self) -> int:
        """Of a block, for each of its images."""

    @property
    def batch(self) -> int:
        """Of an image of the batch, until the batch is done."""

    @property
    def shard(self) -> int:
        """Of a shard's sums."""

    @property
    def shared(self) -> int:
        """Of what is worked out from parameters alone."""


@dataclass(frozen=True)
class Need:
    """Bytes of the engine's own arrays.

    Attributes
    ----------
    blocks
        Everything between the pixels and the gradients of a block of images, for each thread.
    batch
        What large parameters' gradients are worked out from when all images are done.
    shards
        Sums of gradients, for each shard of the batch.
    shared
        Parameters in another order, and what else is the same for all images.
    parameters
        Parameters in the engine's layout; in training twice, since updates can be taken back.
    gradients
        As many gradients.
    optimiser
        What the optimiser remembers of them, twice for the same reason.
    """

    blocks: int = 0
    batch: int = 0
    shards: int = 0
    shared: int = 0
    parameters: int = 0
    gradients: int = 0
    optimiser: int = 0

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(size for _, size in self.parts())

    def parts(self) -> Iterator[tuple[str, int]]:
        """Name and bytes of each part that is not empty."""
        for each in fields(self):
            if size := getattr(self, each.name):
                yield each.name, size

    def __str__(self) -> str:
        return ", ".join(f"{name} {in_bytes(size)}" for name, size in self.parts()) or "nothing"


def need(
    sizes: Sizes,
    batch: int,
    threads: int,
    shards: int = 0,
    parameters: int = 0,
    moments: int | None = None,
    images: int | None = None,
) -> Need:
    """The memory that a network's code works in.

    Parameters
    ----------
    sizes
        Of the plan.
    batch
        Images at a time.
    threads
        How many threads take blocks of them.
    shards
        How many shards the batch is divided into; 0 where no gradients are summed.
    parameters
        How many parameters the network has.
    moments
        How many numbers the optimiser remembers for each of them; None where nothing is trained.
    images
        How many images a block has at most, where that is fewer than the plan says.
    """
    capacity = _multiple(batch, sizes.together)
    most = min(sizes.images, capacity, *([] if images is None else [_multiple(images, sizes.together)]))
    block = _multiple(sizes.block * most, _ALIGNED)
    each, is_training = _FLOAT * parameters, moments is not None
    return Need(
        blocks=_FLOAT * block * threads,
        batch=_FLOAT * sizes.batch * capacity,
        shards=_FLOAT * sizes.shard * shards,
        shared=_FLOAT * sizes.shared,
        parameters=2 * each if is_training else each,
        gradients=each if is_training else 0,
        optimiser=2 * each * (moments or 0),
    )


def check_memory(needed: int, what: str, parts: object = "") -> None:
    """Refuse what will not fit.

    Parameters
    ----------
    needed
        Bytes.
    what
        What they are for, as the subject of the error's sentence.
    parts
        What they are made of, such as a `Need`.

    Raises
    ------
    SettingError
        Where less is available, with both numbers.
    """
    found = available()
    if found is not None and needed > found:
        detail = f" ({parts})" if str(parts) else ""
        raise SettingError(
            f"{what} needs {in_bytes(needed)} of memory{detail}, but {in_bytes(found)} is available: "
            f"take a smaller batch_size, fewer threads or a smaller network"
        )


def available(
    information: Path = Path("/proc/meminfo"),
    own: Path = Path("/proc/self/cgroup"),
    folder: Path = Path("/sys/fs/cgroup"),
) -> int | None:
    """Bytes that the process may still take: of the machine's memory, or less where its container is limited.

    None where the system does not say.

    Parameters
    ----------
    information : Path
        Linux's table of the machine's memory.
    own : Path
        The file that names the control groups of the process.
    folder : Path
        Where control groups are mounted, of version 2, of version 1, or of both.
    """
    found = [room for room in _rooms(own, folder) if room is not None]
    for line in text_of(information).splitlines():
        word, _, rest = line.partition(":")
        kilobytes = positive_number(rest.removesuffix("kB").strip())
        if word == "MemAvailable" and kilobytes is not None:
            found.append(1024 * kilobytes)
    return min(found, default=None)


def _rooms(own: Path, folder: Path) -> Iterator[int | None]:
    for line in text_of(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for group in folders_upwards([folder, folder / "unified"], path):
                yield _room(group, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            for group in folders_upwards([folder / "memory"], path):
                yield _room(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _room(group: Path, most: str, now: str, freed: str) -> int | None:
    """What a group may still take; pages of files that nobody is reading are given up for it."""
    limit, used = (positive_number(text_of(group / name).strip()) for name in (most, now))
    if limit is None or used is None:
        return None
    for line in text_of(group / "memory.stat").splitlines():
        word, _, amount = line.partition(" ")
        if word == freed:
            used -= positive_number(amount.strip()) or 0
    return max(0, limit - max(0, used))


def in_bytes(count: int) -> str:
    """A number of bytes for people: ``"12.3 MB"``, a kilobyte being 1000 bytes.

    Examples
    --------
    >>> in_bytes(999), in_bytes(12_345_678)
    ('999 B', '12.3 MB')
    """
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}" if size < 99.95 else f"{size:.0f} {unit}"


def _multiple(count: int, of: int) -> int:
    """The next multiple."""
    return -(-count // of) * of
