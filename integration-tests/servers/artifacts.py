"""What the servers are made of: fetched once into a cache folder by the usual package clients."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
TOXIPROXY = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"


def cache() -> Path:
    """`TWINFOLD_SERVERS_CACHE`, or a folder in the user's cache."""
    default = Path.home() / ".cache" / "twinfold" / "servers"
    folder = Path(os.environ.get("TWINFOLD_SERVERS_CACHE", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def jars(name: str) -> Path:
    """The folder with the jars of `name`.pom.xml."""
    pom = HERE / f"{name}.pom.xml"
    return _made_once(name, pom.read_text(), lambda folder: _copy_jars(pom, folder))


def go_program(name: str, package: str) -> Path:
    """A program built from a Go package with its version."""
    folder = _made_once(name, package, lambda folder: _build_go(package, folder))
    (program,) = (path for path in folder.iterdir() if path.name != STAMP)
    return program


def postgres() -> Path:
    """The folder with the programs of the newest PostgreSQL that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if not found:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1].parent


def require(command: str, package: str) -> str:
    """The path of a command, or an end that says what to install."""
    found = shutil.which(command)
    if found is None:
        raise SystemExit(f"{command} is not installed: apt-get install {package}")
    return found


STAMP = ".made-of"


def _made_once(name, recipe, make) -> Path:
    """A folder that `make` filled after the recipe wanted now; moved into place when whole."""
    folder = cache() / name
    stamp = folder / STAMP
    if stamp.exists() and stamp.read_text() == recipe:
        return folder
    print(f"fetching {name} into {folder}", flush=True)
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        made = Path(scratch) / name
        made.mkdir()
        make(made)
        (made / STAMP).write_text(recipe)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return folder


def _copy_jars(pom, folder):
    maven = require("mvn", "maven")
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    subprocess.run([maven, "-q", "-B", "-f", pom, *goal], check=True)


def _build_go(package, folder):
    go = require("go", "golang")
    subprocess.run([go, "install", package], check=True, env={**os.environ, "GOBIN": str(folder)})


def _version(path):
    text = path.parent.parent.name
    return int(text) if text.isdigit() else 0
