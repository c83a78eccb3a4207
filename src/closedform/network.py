"""The public network: an architecture with its arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture
from closedform.data.feed import Feed
from closedform.data.inputs import as_array, as_numbers
from closedform.errors import ClosedformError, SettingError, ShapeError
from closedform.files import Model, load_model, load_parameters, read_toml, save_model
from closedform.formula.extents import Shape
from closedform.layers import Layer, Loss
from closedform.layers.base import ONES, shape_text
from closedform.layers.initial import beginning, uniform_limit
from closedform.parameters import Parameters
from closedform.random import uniform_array
from closedform.runner import Runner
from closedform.writing import PathLike

if TYPE_CHECKING:
    from closedform.data.augment import Augmentation
    from closedform.data.standardize import Standardization
    from closedform.training.callbacks import Callback
    from closedform.training.history import History
    from closedform.training.metrics import Metrics
    from closedform.training.optimisers import Optimizer
    from closedform.training.rates import Rates
    from closedform.training.schedules import Schedule
    from closedform.training.task import Clock, Examples, Task

Array = NDArray[np.float32]
_FLOAT = np.dtype(np.float32)


class Network:
    """Layers in order, with their parameters.

    Parameters
    ----------
    layers : list of Layer
        In the order in which they run.
    input_shape : tuple of int
        The shape of one input: (C, H, W) for images, (F,) for rows of features.
    loss : Loss, optional
        What `fit` minimises and `gradients` differentiates.
    seed : int
        Decides the initial weights, the order of the examples and what dropout drops.
    engine : str, optional
        "compiled": machine code made for the network, by llvmlite.  "reference": NumPy over stride tables.
        None is "compiled" where llvmlite is installed.  What cannot be compiled is run by the reference
        engine whatever is asked for; `Network.engine` says which one runs.
    threads : int, optional
        How many threads the engine may use.  None leaves it to the environment variable CLOSEDFORM_THREADS,
        or takes as many as the process may use; the reference engine leaves it to NumPy.

    Attributes
    ----------
    standardization : Standardization or None
        What is taken from every input and what it is divided by; `fit` sets it with ``standardize=True``.
    classes : tuple of str or None
        The names of the classes, by label.  Both are saved with the model.
    stop_training : bool
        Set by a callback, it ends `fit` after the epoch.

    Raises
    ------
    ShapeError
        Where a layer cannot take what the one before it gives.
    SettingError
        For a setting that makes no sense.
    MissingError
        For ``engine="compiled"`` where llvmlite is not installed.

    Examples
    --------
    >>> import closedform as cf
    >>> net = cf.Network([cf.Conv2d(4, 3), cf.ReLU(), cf.Flatten(), cf.Dense(2)], input_shape=(1, 6, 6))
    >>> list(net.parameters)
    ['0.weight', '0.bias', '3.weight', '3.bias']
    >>> net.forward(np.zeros((5, 1, 6, 6))).shape
    (5, 2)
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        input_shape: Shape,
        loss: Loss | None = None,
        seed: int = 0,
        engine: str | None = None,
        threads: int | None = None,
    ):
        architecture = Architecture(layers, input_shape, loss)  # type: ignore[arg-type]
        self._settle(architecture, seed, engine, threads)
        self._initialise()

    @classmethod
    def from_architecture(
        cls,
        architecture: Architecture,
        seed: int = 0,
        engine: str | None = None,
        threads: int | None = None,
    ) -> Network:
        """A network with fresh parameters."""
        network = cls.__new__(cls)
        network._settle(architecture, seed, engine, threads)
        network._initialise()
        return network

    @classmethod
    def from_toml(
        cls, path: PathLike, seed: int = 0, engine: str | None = None, threads: int | None = None
    ) -> Network:
        """A network with fresh parameters, its architecture read from a TOML file.

        Raises
        ------
        FileError
            Where the file cannot be read or describes no network.
        """
        return cls.from_architecture(read_toml(path), seed, engine, threads)

    def _settle(self, architecture: Architecture, seed: int, engine: str | None, threads: int | None) -> None:
        self.architecture = architecture
        self.seed = _seed("seed", seed)
        self.threads = None if threads is None else _whole("threads", threads, 1)
        self._runner = Runner(architecture, engine, self.threads)
        self._input_shape = architecture.input_shape
        self._parameters = Parameters(architecture)
        self._clock: Clock | None = None
        self._rates: Rates | None = None
        self._standardization: Standardization | None = None
        self.classes: tuple[str, ...] | None = None
        self.stop_training = False

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of; its parameters are views of its own flat array."""
        self._parameters.changes()
        return {
            "architecture": self.architecture,
            "seed": self.seed,
            "engine": self._runner.wanted,
            "threads": self.threads,
            "flat": self._parameters.memory.copy(),
            "clock": copy(self._clock),
            "standardization": self.standardization,
            "classes": self.classes,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        values, clock = state.pop("flat"), state.pop("clock")
        standardization, classes = state.pop("standardization"), state.pop("classes")
        self._settle(**state)
        self._parameters.memory[...] = values
        self._clock, self.standardization, self.classes = clock, standardization, classes

    def _initialise(self) -> None:
        architecture = self.architecture
        for position, layer in enumerate(architecture.layers):
            shape, before_relu = architecture.shapes[position], architecture.before_relu(position)
            own = [parameter for parameter in architecture.parameters if parameter.layer == position]
            for number, parameter in enumerate(own):
                start = beginning(layer, parameter.tensor)
                if start is not None:
                    self._parameters[parameter.key][...] = start == ONES
                    continue
                limit = uniform_limit(layer, parameter.tensor, shape, before_relu)
                values = uniform_array(self.seed, position, parameter.shape, parameter=number)
                self._parameters[parameter.key] = (2 * values - 1) * limit

    @property
    def engine(self) -> str:
        """The engine that runs it: "compiled" or "reference"."""
        return self._runner.name

    # ---- what it is made of

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in order."""
        return self.architecture.layers

    @property
    def input_shape(self) -> Shape:
        """The shape of one input."""
        return self.architecture.input_shape

    @property
    def output_shape(self) -> Shape:
        """The shape of one output."""
        return self.architecture.output_shape

    @property
    def loss(self) -> Loss | None:
        """What training minimises."""
        return self.architecture.loss

    @property
    def parameters(self) -> Parameters:
        """The parameters by key, ``"0.weight"``, in PyTorch's shapes: views, assignable."""
        return self._parameters

    @parameters.setter
    def parameters(self, values: Mapping[str, Any]) -> None:
        if not isinstance(values, Mapping):
            raise SettingError(f"parameters must be a dict of arrays by key, got {type(values).__name__}")
        missing = [key for key in self._parameters if key not in values]
        unknown = [str(key) for key in values if key not in self._parameters]
        if missing or unknown:
            wrong = f"{', '.join(missing)} missing" if missing else f"{', '.join(unknown)} unknown"
            raise SettingError(f"the parameters must be {', '.join(self._parameters) or 'none'}: {wrong}")
        fitting = {key: self._parameters.fitting(key, value) for key, value in values.items()}
        for key, value in fitting.items():
            self._parameters[key] = value

    @property
    def standardization(self) -> Standardization | None:
        """What is taken from every input, and what it is divided by; assignable."""
        return self._standardization

    @standardization.setter
    def standardization(self, value: Standardization | None) -> None:
        if value is not None:
            from closedform.data.standardize import Standardization

            if not isinstance(value, Standardization):
                raise SettingError(
                    f"standardization must be as in cf.Standardization((0.5,), (0.25,)), got {value!r:.60}"
                )
            if len(value.mean) != self._input_shape[0]:
                raise SettingError(
                    f"standardization must have one number for each channel, {self._input_shape[0]}, got "
                    f"{len(value.mean)}"
                )
        self._standardization = value

    def summary(self) -> None:
        """Print a table: layer, output shape, parameters, and the arithmetic behind both."""
        import sys

        from closedform.summary import summary, writable

        print(writable(summary(self.architecture), sys.stdout))

    def __repr__(self) -> str:
        layers = ", ".join(map(str, self.layers))
        loss = f", loss={self.loss}" if self.loss else ""
        return f"Network([{layers}], input_shape={self.input_shape}{loss})"

    # ---- values and gradients

    def forward(self, x: Any) -> Array:
        """What the last layer gives, before the loss, in inference mode.

        Parameters
        ----------
        x : array
            Inputs (N, *input_shape).  uint8 images are divided by 255; (N, H, W) is taken as one channel
            where the network has one.

        Returns
        -------
        array of float32
            (N, *output_shape)

        Raises
        ------
        ShapeError
            For another shape.
        """
        is_ready = type(x) is np.ndarray and x.dtype is _FLOAT and x.shape[1:] == self._input_shape
        if is_ready and self._standardization is None:
            return self._runner.outputs(x, self._parameters)
        return self._fed(self._feed(x))

    def predict(self, x: Any) -> Array:
        """Probabilities: softmax or sigmoid of the output where the loss has one, else the output.

        Raises
        ------
        ShapeError
            For another shape.
        DataError
            For an image with NaN or infinity, naming it.
        """
        feed = self._feed(x)
        feed.check_finite()
        return self._runner.engine.activate(self._fed(feed))

    def apply(
        self, x: Any, training: bool = False, rng: int | None = None
    ) -> tuple[Array, Callable[[Any], tuple[Array, dict[str, Array]]]]:
        """The network without its loss, and its pullback.

        Parameters
        ----------
        x : array
            Inputs (N, *input_shape).
        training : bool
            Whether dropout drops.
        rng : int, optional
            The seed of what it drops; the network's own where it is None.

        Returns
        -------
        y, pullback
            The output, and the function ``dy -> (dx, gradients by key)``; it goes on with the input and the
            parameters as they were here, whatever becomes of them.
        """
        inputs, standardization = self._some(x), self.standardization
        seed = self.seed if rng is None else _seed("rng", rng)
        y, pull = self._runner.run(
            lambda engine: engine.apply(inputs, self._parameters, training=training, seed=seed)
        )
        shape = y.shape

        def pullback(dy: Any) -> tuple[Array, dict[str, Array]]:
            gradient = as_numbers(dy, "dy").astype(np.float32, copy=False)
            if gradient.shape != shape:
                raise ShapeError(
                    f"dy must have the shape of y, {shape_text(shape)}, got {shape_text(gradient.shape)}"
                )
            dx, gradients = pull(gradient)
            return _before(standardization, dx), gradients

        return y, pullback

    def gradients(
        self, x: Any, y: Any, *, wrt_input: bool = False, step: int = 0
    ) -> tuple[float, dict[str, Array]]:
        """The mean loss of a batch in training mode, and its gradient in every parameter.

        Parameters
        ----------
        x : array
            Inputs (N, *input_shape).
        y : array
            Labels (N,), or targets of the output's shape for `MeanSquaredError`.
        wrt_input : bool
            Whether the gradient in x is wanted too, under "input".
        step : int
            What dropout drops at; the same step always drops the same.

        Raises
        ------
        ShapeError, DataError
            For inputs or labels that cannot be used.
        """
        inputs, step = self._some(x), _whole("step", step, 0)
        targets = self._targets(y, len(inputs))
        loss, gradients, dx = self._runner.run(
            lambda engine: engine.gradients(
                inputs, targets, self._parameters, seed=self.seed, step=step, wrt_input=wrt_input
            )
        )
        if dx is not None:
            gradients["input"] = _before(self.standardization, dx)
        return loss, gradients

    # ---- training

    def fit(
        self,
        x: Any,
        y: Any,
        epochs: int = 1,
        batch_size: int = 32,
        optimizer: Optimizer | None = None,
        validation_data: tuple[Any, Any] | None = None,
        verbose: int = 1,
        *,
        steps: int | None = None,
        schedule: Schedule | None = None,
        callbacks: Sequence[Callback] = (),
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        label_smoothing: float = 0.0,
        clip_norm: float | None = None,
        standardize: bool = False,
        augment: Augmentation | None = None,
        checkpoint: PathLike | None = None,
        checkpoint_seconds: float = 60.0,
        resume: bool = False,
    ) -> History:
        """Train on examples, in an order that the seed decides.

        A second call goes on: the optimiser begins anew, the order and what dropout drops do not repeat.

        Parameters
        ----------
        x, y : array
            Inputs (N, *input_shape) and labels (N,).  Inputs may be larger than memory: ``numpy.memmap``.
        epochs : int
            How often all examples are used.
        batch_size : int
            How many examples one update sees; the last, shorter batch of an epoch is used too.
        optimizer : Optimizer, optional
            ``SGD(0.01)`` where none is given.
        validation_data : (x, y), optional
            Examples that are only evaluated, after each epoch.
        verbose : int
            0 shows nothing, 1 a table with a bar on a terminal and plain lines elsewhere, 2 plain lines.
        steps : int, optional
            How many updates are made in all, instead of `epochs`; the last epoch may end early.
        schedule : Schedule, optional
            How the learning rate goes from the optimiser's: `OneCycle`, `Cosine`, `StepDecay`, ...
        callbacks : sequence of Callback
            As in Keras: `EarlyStopping`, `ModelCheckpoint`, ...
        class_weight : dict of float, optional
            How much an example of each class counts, by label; 1 where it is not named.
        sample_weight : array, optional
            How much each example counts, (N,) numbers from 0.  The loss of a batch is the sum of weight times
            loss divided by the number of its examples; the accuracy is not weighted.
        label_smoothing : float
            The share of each label, from 0 to below 1, that is divided evenly among all classes in training.
        clip_norm : float, optional
            The length to which the gradient of all parameters together is shortened where it is longer.
        standardize : bool
            Whether to take from each channel its mean over x and to divide it by its standard deviation, here
            and from then on in `predict` too; what the network has already stays.
        augment : Augmentation, optional
            How images are varied, each epoch in another way.
        checkpoint : path, optional
            A folder for checkpoints: the last two are kept there.
        checkpoint_seconds : float
            How often one is written, in seconds, besides the end of each epoch.
        resume : bool
            Whether to go on from the newest checkpoint, if there is one: what comes out has the same bits as
            if the training had never been interrupted.

        Returns
        -------
        History
            With Keras's keys.

        Raises
        ------
        ShapeError, DataError, SettingError
            For examples or settings that cannot be used, before anything is trained.
        DataError
            Where the loss or a parameter becomes infinite or no number, with the step and the layer.
        FileError
            Where a checkpoint cannot be read or written, and where another training keeps its own there.
        KeyboardInterrupt
            With `checkpoint`, the first interrupt drops the step that is under way and saves before it is
            raised; a second one ends at once.

        Warns
        -----
        closedform.errors.CheckpointWarning
            Where the newest checkpoint is damaged and the one before it is used.
        """
        from closedform.training.fitting import Fit

        plan = Fit(
            epochs=_whole("epochs", epochs, 0),
            steps=None if steps is None else _whole("steps", steps, 1),
            batch_size=_whole("batch_size", batch_size, 1),
            optimizer=optimizer,
            verbose=verbose,
            schedule=schedule,
            callbacks=callbacks,
            class_weight=class_weight,
            sample_weight=sample_weight,
            label_smoothing=label_smoothing,
            clip_norm=clip_norm,
            standardize=standardize,
            augment=augment,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            resume=resume,
        )
        before, begun = self.standardization, self._updates()
        try:
            examples = plan.examples(self, x, y)
            validation = None if validation_data is None else self._validation(validation_data)
            return plan.run(self, examples, validation)
        except (ClosedformError, MemoryError):
            if self._updates() == begun:  # nothing was trained
                self.standardization = before
            raise
        finally:
            self._rates = None

    def _updates(self) -> int:
        return 0 if self._clock is None else self._clock.updates

    @property
    def learning_rate(self) -> float:
        """The optimiser's learning rate while `fit` runs, before its schedule; callbacks may set it.

        Raises
        ------
        SettingError
            Where nothing is being trained, and for a rate that is no number from 0.
        """
        return self._current_rates.base

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._current_rates.set(rate)

    @property
    def _current_rates(self) -> Rates:
        if self._rates is None:
            raise SettingError("the network has a learning rate only while fit runs: set the optimiser's")
        return self._rates

    def _task(
        self, examples: Examples, batch_size: int, optimizer: Optimizer, *, is_watched: bool = False
    ) -> Task:
        from closedform.training.rates import Rates
        from closedform.training.task import Clock, Task

        self._clock = self._clock or Clock()
        return Task(
            self._parameters,
            self._loss(),
            examples,
            batch_size,
            optimizer,
            self.seed,
            self._clock,
            Rates(optimizer.learning_rate, begun=self._clock.updates),
            is_watched=is_watched,
        )

    def evaluate(self, x: Any, y: Any) -> dict[str, float]:
        """The mean loss in inference mode, and the accuracy where the loss classifies.

        Raises
        ------
        ShapeError, DataError
            For examples that cannot be used.
        """
        from closedform.training.loop import evaluate

        examples = self._examples(x, y)
        return self._runner.run(lambda engine: evaluate(engine, self._loss(), self._parameters, examples))

    def metrics(self, x: Any, y: Any) -> Metrics:
        """Loss, accuracy, and for each class precision, recall and F1, with the confusion matrix.

        Parameters
        ----------
        x, y : array
            Inputs (N, *input_shape) and labels (N,).

        Raises
        ------
        ShapeError, DataError
            For examples that cannot be used.
        SettingError
            Where the loss does not classify.
        """
        from closedform.training.metrics import measure

        loss = self._loss()
        if not loss.classifies:
            raise SettingError(
                f"metrics needs a loss that classifies, got {type(loss).__name__}: use evaluate"
            )
        examples = self._examples(x, y)
        outputs = self._fed(examples.feed)
        mean = self._runner.engine.loss_value(outputs, examples.targets)
        return measure(outputs, np.asarray(y), mean, self.classes, threshold=0.0)

    # ---- files

    def save(self, path: PathLike) -> None:
        """Write the model as one safetensors file, whole or not at all.

        Raises
        ------
        FileError
            Where it cannot be written.
        """
        model = Model(self.architecture, self._parameters, self.seed, self.standardization, self.classes)
        save_model(path, model)

    def load_parameters(self, path: PathLike) -> None:
        """Read the parameters from a safetensors file, such as a PyTorch ``state_dict``.

        Raises
        ------
        FileError
            Where an array is missing, of another shape, or belongs to no layer; nothing is changed then.
        """
        self.parameters = load_parameters(path, self.architecture)

    # ---- what comes from outside

    def _feed(self, x: Any) -> Feed:
        return Feed(x, self.input_shape, self.standardization)

    def _some(self, x: Any) -> Array:
        """All inputs, at least one."""
        feed = self._feed(x)
        if not len(feed):
            raise ShapeError("x holds no examples: its first axis is 0 long")
        return feed.whole()

    def _fed(self, feed: Feed) -> Array:
        """The outputs for all inputs, of large ones part by part."""
        if feed.plain is not None:
            return self._runner.outputs(feed.plain, self._parameters)
        result: Array = np.empty((len(feed), *self.output_shape), np.float32)
        for start, part in feed.parts():
            result[start : start + len(part)] = self._runner.outputs(part, self._parameters)
        return result

    def _loss(self) -> Loss:
        if self.loss is None:
            raise SettingError("the network has no loss: make it with loss=cf.SoftmaxCrossEntropy(), say")
        return self.loss

    def _targets(self, y: Any, examples: int) -> Array:
        return self._loss().targets(as_array(y, "y"), examples, self.output_shape, np.dtype(np.float32))

    def _examples(self, x: Any, y: Any) -> Examples:
        from closedform.training.task import Examples

        self._loss()
        feed = self._feed(x)
        if not len(feed):
            raise ShapeError("x holds no examples: its first axis is 0 long")
        targets = self._targets(y, len(feed))
        feed.check_finite()
        return Examples(feed, np.asarray(y), targets)

    def _validation(self, data: Any) -> Examples:
        if not isinstance(data, tuple | list) or len(data) != 2:
            got = f"{len(data)} values" if isinstance(data, tuple | list) else type(data).__name__
            raise SettingError(f"validation_data must be a pair (x, y), got {got}")
        try:
            return self._examples(*data)
        except ClosedformError as error:
            raise type(error)(f"validation_data: {error}") from None


def load(path: PathLike, engine: str | None = None, threads: int | None = None) -> Network:
    """Read a model that `Network.save` wrote.

    Parameters
    ----------
    path
        The safetensors file.
    engine, threads
        As for `Network`.

    Raises
    ------
    FileError
        Where the file cannot be read, is of a newer version, or holds something else.
    """
    model = load_model(path)
    network = Network.from_architecture(model.architecture, model.seed, engine, threads)
    network.parameters = model.parameters
    network.standardization, network.classes = model.standardization, model.classes
    return network


def _before(standardization: Standardization | None, dx: Array) -> Array:
    """The gradient in inputs as they were before the network standardized them."""
    if standardization is None:
        return dx
    std = np.array(standardization.std, np.float32)
    return dx / std.reshape(-1, *[1] * (dx.ndim - 2))


def _whole(word: str, value: object, least: int, limit: int = 1 << 32) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= int(value) < limit:  # type: ignore[call-overload]
        upper = f" to {limit - 1}" if whole and int(value) >= limit else ""  # type: ignore[call-overload]
        raise SettingError(f"{word} must be a whole number from {least}{upper}, got {value!r}")
    return int(value)  # type: ignore[call-overload,no-any-return]


def _seed(word: str, value: object) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not 0 <= int(value) < 1 << 64:  # type: ignore[call-overload]
        raise SettingError(f"{word} must be a whole number from 0 to 2**64 - 1, got {value!r}")
    return int(value)  # type: ignore[call-overload,no-any-return]
