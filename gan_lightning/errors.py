"""Errors whose message is all a user needs: the command line prints it without a traceback."""


class UserError(Exception):
    """Something outside the code that the user can put right, as the message says."""


class MissingFileError(UserError, FileNotFoundError):
    """Data or weights are not on disk and could not be downloaded."""


class TooFewSamplesError(UserError, ValueError):
    """The data does not fill a batch."""
