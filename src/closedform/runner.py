"""Which engine runs a network: the compiled one where it can, the reference engine where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture
from closedform.errors import MissingError, SettingError
from closedform.parameters import Parameters

if TYPE_CHECKING:
    from closedform.training.task import Task, Trainer

Array = NDArray[np.float32]
Result = TypeVar("Result")

ENGINES = ("compiled", "reference")


class Engine(Protocol):
    """What a network asks of the engine that runs it."""

    @property
    def architecture(self) -> Architecture:
        """What it runs."""

    @property
    def name(self) -> str:
        """One of `ENGINES`."""

    def outputs(self, x: Array, parameters: Parameters) -> Array:
        """The output of the last layer in inference mode."""

    def activate(self, output: Array) -> Array:
        """The probabilities of the loss's own activation, or the output itself."""

    def apply(
        self, x: Array, parameters: Parameters, *, training: bool = ..., seed: int = ...
    ) -> tuple[Array, Callable[[Array], tuple[Array, dict[str, Array]]]]:
        """The output, and its pullback, which goes on with x and the parameters as they are now."""

    def gradients(
        self,
        x: Array,
        targets: Array,
        parameters: Parameters,
        *,
        seed: int = ...,
        step: int = ...,
        wrt_input: bool = ...,
    ) -> tuple[float, dict[str, Array], Array | None]:
        """The mean loss of a batch in training mode, its gradient in every parameter, and in x if wanted."""

    def loss_value(self, output: Array, targets: Array) -> float:
        """The mean loss of a batch."""

    def trainer(self, task: Task) -> Trainer:
        """What makes a training's updates."""


class Runner:
    """The engine of one network, made when it is first needed.

    Parameters
    ----------
    architecture
        The network.
    wanted
        One of `ENGINES`; None for the compiled one where it can be had.
    threads
        How many threads the engine may use.

    Raises
    ------
    SettingError, MissingError
        For an engine that there is not.
    """

    def __init__(self, architecture: Architecture, wanted: str | None, threads: int | None):
        if wanted is not None and wanted not in ENGINES:
            raise SettingError(f"engine must be {' or '.join(map(repr, ENGINES))}, got {wanted!r}")
        if wanted == "compiled" and not _can_compile():
            raise MissingError(
                "engine='compiled' needs llvmlite: pip install llvmlite, or pass engine='reference'"
            )
        self.architecture, self.wanted, self.threads = architecture, wanted, threads
        self._engine: Engine | None = None
        self._refusal: tuple[type[Exception], ...] = ()

    @property
    def name(self) -> str:
        """The name of the engine that runs the network."""
        if self._engine is not None:
            return self._engine.name
        return "compiled" if self._is_compiled() else "reference"

    @property
    def engine(self) -> Engine:
        """The engine."""
        if self._engine is None:
            self._engine = self._compiled() or self._reference()
        return self._engine

    def run(self, work: Callable[[Engine], Result]) -> Result:
        """Do something with the engine; the reference engine takes over what cannot be compiled."""
        engine = self.engine
        try:
            return work(engine)
        except self._refusal:
            return work(self._taken_over())

    def outputs(self, x: Array, parameters: Parameters) -> Array:
        """The output of the last layer in inference mode."""
        engine = self._engine or self.engine
        try:
            return engine.outputs(x, parameters)
        except self._refusal:
            return self._taken_over().outputs(x, parameters)

    def _is_compiled(self) -> bool:
        if self.wanted == "reference" or not _can_compile():
            return False
        from closedform.engine.compiled import can_run

        return can_run(self.architecture)

    def _compiled(self) -> Engine | None:
        if not self._is_compiled():
            return None
        from closedform.engine.compiled import CompiledEngine, Unsupported

        self._refusal = (Unsupported,)
        try:
            return CompiledEngine(self.architecture, self.threads)
        except MissingError:
            if self.wanted is not None:
                raise
            return None  # it is installed, and cannot be imported

    def _reference(self) -> Engine:
        from closedform.engine.network_pass import ReferenceEngine

        return ReferenceEngine(self.architecture, self.threads)

    def _taken_over(self) -> Engine:
        self._engine, self._refusal = self._reference(), ()
        return self._engine


def _can_compile() -> bool:
    """Whether llvmlite is installed; it is imported when something runs."""
    from importlib.util import find_spec

    return find_spec("llvmlite") is not None
