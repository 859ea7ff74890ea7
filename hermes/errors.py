"""Errors whose message is written for the person who uses the demo."""


class HermesError(Exception):
    """Base of every error that a user can cause; `str(error)` is one clear sentence to show as it is."""


class FailedError(HermesError):
    """Valid work that failed on the way, such as a file that could not be written because the disk is full."""
