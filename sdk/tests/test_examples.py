"""The examples tell their story to the end."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_lines_of_the_readme_run(folder, capsys):
    readme = (EXAMPLES.parents[1] / "README.md").read_text()
    (lines,) = re.findall("```python\n(.*?)```", readme, flags=re.DOTALL)
    names = {}
    exec(lines.replace("/tmp/my-features", str(folder)), names)
    names["store"].close()
    printed = capsys.readouterr().out
    assert "23.4" in printed
    assert "24.1" in printed


def test_the_demo_runs(folder):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "flights.py", "--path", folder],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in ("496,463 rows", "the same digest", "ROC AUC 0.7", "vector p50", "digest"):
        assert expected in done.stdout, done.stdout


def test_the_notebook_runs():
    notebook = nbformat.read(EXAMPLES / "flights.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    resources = {"metadata": {"path": str(EXAMPLES)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    shown = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(shown) >= 4
