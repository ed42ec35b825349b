"""The package is typed as it is."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import twinfold
from twinfold import exceptions

ROOT = Path(__file__).parents[1]


def test_the_stub_describes_the_native_module():
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "twinfold._core", "--concise"],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(ROOT / "python"), "PYTHONPATH": str(ROOT / "python")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_says_that_it_is_typed():
    assert (Path(twinfold.__file__).parent / "py.typed").exists()


def test_every_exception_is_one_of_ours_and_listed():
    classes = {
        name
        for name, thing in vars(exceptions).items()
        if inspect.isclass(thing)
        and issubclass(thing, Exception)
        and thing.__module__ == exceptions.__name__
    }
    assert classes == set(exceptions.__all__)
    assert all(issubclass(getattr(exceptions, name), twinfold.TwinfoldError) for name in classes)


def test_every_public_name_is_documented():
    for name in twinfold.__all__:
        thing = getattr(twinfold, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__doc__, name
            assert not thing.__module__.endswith("_core"), name


def test_modules_and_classes_stay_small():
    for path in (ROOT / "python" / "twinfold").glob("*.py"):
        lines = path.read_text().splitlines()
        assert len(lines) <= 600, f"{path.name} has {len(lines)} lines"
