"""Errors that whoever gives the data can mend: each says what is wrong, what was wanted, and what to do.

Any other error of this room is a bug of it, or a call out of order.
"""

from __future__ import annotations


class DataError(Exception):
    """What is wrong with data or with a setting of theirs; raised as one of the classes below."""


class DataValueError(DataError, ValueError):
    """A setting, or what a file holds, is not what is wanted."""


class DataFileError(DataError, OSError):
    """A file cannot be read or written."""


class DataMissingError(DataFileError, FileNotFoundError):
    """A file or folder is not there."""


class DataExistsError(DataFileError, FileExistsError):
    """Something lies where a file or folder would be written."""


class ProcessEndedError(DataError, ChildProcessError):
    """A process that does a part of the work was ended from outside."""
