"""The examples in docstrings are true, and every public name has one."""

import doctest
import inspect
from importlib import import_module

import pytest

import datamodules
import lightning_modules
from tests.test_walls import FILES, ROOT, module_of

WITH_EXAMPLES = [path for path in FILES if "    >>> " in (ROOT / path).read_text()]
PUBLIC = [(room, name) for room in (datamodules, lightning_modules) for name in room.__all__]
NO_EXAMPLE = {"Batch"}  # a type alone


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_examples_are_true(path, tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where some write files
    module = import_module(module_of(path))
    done = doctest.testmod(module, extraglobs={"root": tree}, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 0
    assert done.failed == 0


@pytest.mark.parametrize(("room", "name"), PUBLIC, ids=lambda value: getattr(value, "__name__", value))
def test_every_public_name_has_an_example(room, name):
    value = getattr(room, name)
    if (inspect.isclass(value) or inspect.isfunction(value)) and name not in NO_EXAMPLE:
        assert ">>> " in inspect.getdoc(value)
