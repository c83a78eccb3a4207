"""What can go wrong, and under which name.

    ClosedformError
    ├── FormulaError   a line of index notation that cannot be read (with a caret under the place)
    ├── ShapeError     sizes that do not fit, with the arithmetic that shows it
    ├── SettingError   a constructor argument or option that makes no sense
    ├── DataError      images or labels that cannot be used, and data files that cannot be read
    ├── FileError      a model or network file that cannot be read or written
    └── MissingError   something optional that is not installed, with what to install

Every message says what was expected, what came, where, and how to mend it.  All but `MissingError`
are `ValueError`s; `MissingError` is an `ImportError`.

Where a checkpoint that is damaged was passed over, a training goes on with a warning: `CheckpointWarning`, a
`UserWarning`.
"""


class ClosedformError(Exception):
    """Base of every error that the library raises on purpose."""


class FormulaError(ClosedformError, ValueError):
    """A formula that cannot be read.

    Attributes
    ----------
    reason : str
        One sentence: what is wrong and how to mend it.
    source : str
        The formula as it was written.
    position : int
        Where in `source` the trouble starts, counted from 0.
    """

    def __init__(self, reason: str, source: str, position: int):
        self.reason, self.source, self.position = reason, source, position
        # line breaks inside a formula count as spaces, so that the caret stands under its place
        line = "".join(" " if character.isspace() else character for character in source)
        super().__init__(f"{reason}\n  {line}\n  {' ' * position}^")

    def __reduce__(self) -> tuple[type, tuple[str, str, int]]:
        return type(self), (self.reason, self.source, self.position)


class ShapeError(ClosedformError, ValueError):
    """Sizes that do not fit together."""


class SettingError(ClosedformError, ValueError):
    """A setting outside what it may be."""


class DataError(ClosedformError, ValueError):
    """Images or labels that cannot be used."""


class FileError(ClosedformError, ValueError):
    """A model or network file that cannot be read or written."""


class MissingError(ClosedformError, ImportError):
    """An optional package that is not installed."""


class CheckpointWarning(UserWarning):
    """A checkpoint that is damaged was passed over."""
