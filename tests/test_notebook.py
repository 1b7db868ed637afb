"""The notebook of the documentation runs from its first cell to its last."""

import nbformat
from nbclient import NotebookClient

from tests.test_walls import ROOT

NOTEBOOK = ROOT / "docs/notebooks/mini.ipynb"


def test_the_notebook_runs_and_shows_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("max_steps=60", "max_steps=5")  # which the pictures show
        if cell.cell_type == "code":
            cell.outputs = []
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    kinds = [kind for cell in notebook.cells for output in cell.get("outputs", ()) for kind in output.get("data", {})]
    assert kinds.count("image/png") == 2
