"""Errors that whoever sets up a model can mend: each says what is wrong, what was wanted, and what to do.

Any other error of this room is a bug of it, or a call out of order.
"""

from __future__ import annotations


class ModelError(Exception):
    """What is wrong with a setting, a batch or a file of weights; raised as one of the classes below."""


class ModelValueError(ModelError, ValueError):
    """A setting, a batch, or what a file holds, is not what is wanted."""


class ModelFileError(ModelError, OSError):
    """A file cannot be read."""


class ModelMissingError(ModelFileError, FileNotFoundError):
    """A file is not there."""


class UnreachableError(ModelError, ConnectionError):
    """A server that has weights cannot be reached."""
