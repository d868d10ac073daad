"""Errors whose message is all a user needs: the command line prints it without a traceback."""


def one_line(text: str) -> str:
    """The text in one line, without control characters, which names of files may hold."""
    shown = (
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    return "".join(shown).strip()


class UserError(Exception):
    """A problem outside the code that the user can fix, as the message says."""

    #: The exit code of the command line.
    exit_code = 1
    #: Whether every rank raises it in the same step, so that the first rank's message is enough.
    on_all_ranks = False

    def __str__(self) -> str:
        """The message, in one line."""
        return one_line(super().__str__())


class ArgumentError(UserError, ValueError):
    """An argument that turns out to be wrong when it is used."""

    exit_code = 2


class MissingFileError(UserError, FileNotFoundError):
    """Data or weights are not on disk and could not be downloaded."""


class MissingPackageError(UserError, ImportError):
    """An optional package is not installed."""


class BrokenPackageError(UserError, ImportError):
    """Another package offers what cannot be imported, or is not what it should be."""


class HubError(UserError, OSError):
    """The Hugging Face hub cannot be reached, or refuses."""


class StoppedError(UserError):
    """A signal stopped the run."""

    def __init__(self, message: str, exit_code: int, *, on_all_ranks: bool) -> None:
        super().__init__(message)
        self.exit_code, self.on_all_ranks = exit_code, on_all_ranks


class StorageError(UserError, OSError):
    """A file cannot be written."""


class WrongFileError(UserError, ValueError):
    """A file does not hold what it should."""


class TooFewSamplesError(UserError, ValueError):
    """There are too few samples to fill a batch, or to be scored."""


class SourceChangedError(UserError):
    """Files moved or changed while they were read."""


class WorkerError(UserError):
    """A worker process was killed."""


class CacheError(UserError):
    """Decoded images cannot be cached on disk."""
