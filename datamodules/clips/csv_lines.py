"""Reads CSVs as people make them: what is plain is read as it was meant, of the rest a sentence says what is wrong."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..errors import DataValueError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
"""What may stand between values; Excel writes semicolons where decimals have commas."""

MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""By the first bytes of a file, its encoding; else it is UTF-8, with a mark or without."""

NAMED_THINGS = 10
"""Things that a sentence names, at most."""

SHOWN_CHARS = 400
"""Characters of one of them, at most."""


def read_lines(path: Path, needed: Sequence[str], optional: Sequence[str] = (), others: bool = True) -> pd.DataFrame:
    """Reads a CSV as text: values between commas, semicolons or tabs, whichever the line of the columns has.

    Lines without a value are passed over. Neither case of the columns' names nor spaces round them count, nor do empty
    values behind the last column.

    Args:
        path: A file in UTF-8, or in UTF-16 or UTF-32 if it begins with a byte order mark, as Excel's Unicode text does.
        needed: Columns that it must have.
        optional: Columns that it may have.
        others: Whether it may have any more.

    Returns:
        One row a line, by its number in the file; values as they stand there, spaces included.

    Raises:
        ValueError: Its path is not UTF-8, it is not text, a quote is not closed, a column is missing, there twice or
            not wanted, or a line has more or fewer values than there are columns.
    """
    known = (*needed, *optional)
    refuse_unnameable(path)
    text = _text(path)
    separator = _separator(text, known)
    rows = _rows(path, text, separator)
    header, names = (rows[0][0], _names(rows[0][1], known)) if rows else (1, [])
    wanted = ",".join(needed) + (f" and, if known, {','.join(optional)}" if optional else "")
    absent = [name for name in needed if name not in names]
    if absent:
        got = repr(separator.join(names)) if names else "empty"
        raise DataValueError(f"{path} lacks the columns {absent}: wanted {wanted} in line {header}, which is {got}")
    twice = sorted({name for name in known if names.count(name) > 1})
    if twice:
        raise DataValueError(f"{path} has the columns {twice} more than once: keep one of each in line {header}")
    other = sorted({*names} - {*known})
    if other and not others:
        raise DataValueError(f"{path} has the columns {other}, which nothing reads: wanted {wanted}")
    width = len(names)
    lines = {number: row if len(row) == width else _strip_tail(row, width) for number, row in rows[1:]}
    uneven = [f"{len(row)} in line {number}" for number, row in lines.items() if len(row) != width]
    if uneven:
        raise DataValueError(
            f"{path} has {len(uneven)} lines with more or fewer values than its {width} columns, {list_names(uneven)}: "
            f"correct them, close every quote, and put a value that has a {SEPARATORS[separator]} in it in quotes"
        )
    return pd.DataFrame(list(lines.values()), index=list(lines), columns=names, dtype=str)


def list_names(things: Sequence[str]) -> str:
    """Names all of a few things, and of many the first and how many more there are; line ends are shown as escapes."""
    more = len(things) - NAMED_THINGS
    return ", ".join(map(_show, things[:NAMED_THINGS])) + (f" and {more} more" if more > 0 else "")


def _show(text: str) -> str:
    cut = text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS // 2]}...{text[-SHOWN_CHARS // 2 :]}"
    return cut if cut.isprintable() else repr(cut)[1:-1]


def refuse_unnameable(path: Path) -> None:
    """Refuses a path whose bytes are no UTF-8.

    Raises:
        ValueError: It cannot be held in a table.
    """
    for name in (os.fsencode(path), os.fsencode(os.path.realpath(path))):
        try:
            name.decode()
        except UnicodeDecodeError as error:
            raise DataValueError(
                f"the path {name!r} is not UTF-8 (byte {name[error.start]:#04x}), and tables cannot hold such names: "
                "rename the file or folder"
            ) from error


def _text(path: Path) -> str:
    data = path.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "UTF-8")
    before, nul, _ = data.decode(encoding, "replace").partition("\0")
    if nul:
        raise DataValueError(
            f"{path} has a NUL byte in line {_line(before)}, as no text has: save it as a CSV in UTF-8"
        )
    try:
        return data.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        line = _line(data[: error.start].decode(encoding, "ignore"))
        raise DataValueError(
            f"{path} is not {encoding} (byte {data[error.start]:#04x} in line {line}): save it as UTF-8"
        ) from error


def _line(before: str) -> int:
    return 1 + len(re.findall(r"\r\n|\r|\n", before))


def _separator(text: str, known: Sequence[str]) -> str:
    told = re.match(r"sep=([,;\t])[\r\n]", text)  # as Excel is told
    if told:
        return told[1]
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    return max(SEPARATORS, key=lambda each: len({*known} & {*_names(next(csv.reader([first], delimiter=each)), known)}))


def _names(cells: Sequence[str], known: Sequence[str]) -> list[str]:
    names = [cell.strip().lower() if cell.strip().lower() in known else cell.strip() for cell in cells]
    return _strip_tail(names, 0)


def _strip_tail(cells: Sequence[str], length: int) -> list[str]:
    """Without the empty cells at the end, as far as the length wanted."""
    filled = max((number for number, cell in enumerate(cells, 1) if cell.strip()), default=0)
    return list(cells[: max(filled, length)])


def _rows(path: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Lines that hold a value, each with the number at which it begins; a value in quotes may go on in the next."""
    rows: list[tuple[int, list[str]]] = []
    line = 1
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in reader:
            if "".join(cells).strip() and (rows or cells[0] != "sep="):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataValueError(
            f"{path} cannot be divided into columns from line {line} on ({error}): close the quote that is opened "
            "there, and write a quote that is part of a value twice"
        ) from error
    return rows
