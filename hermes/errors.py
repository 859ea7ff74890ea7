"""Exceptions with messages for users."""


class HermesError(Exception):
    """Base class of errors that a user can cause; `str(error)` is a clear message to display unchanged."""


class FailedError(HermesError):
    """A valid operation that failed, such as writing a file to a full disk."""
