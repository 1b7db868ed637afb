"""Errors that whoever gives a command can mend: each says what is wrong, what was wanted, and what to do."""

from __future__ import annotations


class ExperimentError(Exception):
    """What is wrong with a command, a row or a run; raised as one of the classes below."""


class ExperimentValueError(ExperimentError, ValueError):
    """An option, a setting, or what a file holds, is not what is wanted."""


class ExperimentFileError(ExperimentError, OSError):
    """A file cannot be read or written, or a program that is called refuses."""


class ExperimentMissingError(ExperimentFileError, FileNotFoundError):
    """A file or folder is not there."""


class ExperimentExistsError(ExperimentFileError, FileExistsError):
    """Something lies where a file would be written."""
