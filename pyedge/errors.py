"""Everything that pyedge raises. Each message says what, where, and what to do, in one line."""

from __future__ import annotations


class PyedgeError(Exception):
    """Base of all errors of pyedge. exit_code is what the command line returns (docs: README, "Exit codes")."""

    exit_code = 2


class ModelError(PyedgeError):
    """A model file, graph or array that is damaged or contradicts itself."""


class UnsupportedOpError(ModelError):
    """Operators that pyedge does not have yet; names them all, with tensor and model."""


class ShapeError(PyedgeError, ValueError):
    """A wrong shape or dtype; names the tensor, what was expected and what was given."""


class PlanError(PyedgeError):
    """A plan that is damaged, of another version, or not made for this use."""

    exit_code = 7


class BusyError(PyedgeError):
    """A session or a port that is in use by somebody else."""

    exit_code = 5


class BoardError(PyedgeError):
    """The board answered, and reported a failure."""

    exit_code = 1


class BoardNotFoundError(PyedgeError):
    """No such board profile, no port, or no emulator for it."""

    exit_code = 3


class PermissionDeniedError(PyedgeError):
    """The port exists, and this user may not open it."""

    exit_code = 4


class LinkError(PyedgeError):
    """No good answer within the deadline, after all retries."""

    exit_code = 6


class VerificationError(PyedgeError):
    """What was read back is not what was written."""

    exit_code = 7


class MeasurementError(PyedgeError):
    """A measurement that breaks one of its own rules; no headline figure is given."""

    exit_code = 8


class UnsupportedError(PyedgeError):
    """This board or build cannot do that."""

    exit_code = 9


class TrainingError(PyedgeError):
    """A training that leads nowhere: no finite gradients any more. history: what happened until then."""

    def __init__(self, message: str, history: object = None) -> None:
        super().__init__(message)
        self.history = history


class ToolError(PyedgeError):
    """A program that pyedge starts (compiler, emulator, flasher) is missing or failed."""

    exit_code = 3


class MissingToolError(ToolError):
    """A program that pyedge starts is not installed; says how to install it."""
