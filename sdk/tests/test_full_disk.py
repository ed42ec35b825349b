"""A disk that takes nothing more loses nothing, and is forgiven once it does again."""

import re
import subprocess
import sys

import twinfold

# The kernel refuses to let any file grow, as a full disk does, until it is told otherwise.
WRITER = """
import resource
import sys
from pathlib import Path

import twinfold
from twinfold.exceptions import TwinfoldError, WaitTimeoutError


def let_files_grow(bytes_max=None):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if bytes_max is None else bytes_max, hard))


def online_bytes():
    # Of the largest file; the log's are far below, because each has a partition alone.
    files = [path for path in Path(sys.argv[1], "online").rglob("*") if path.is_file()]
    return max(path.stat().st_size for path in files)


def rows(first):
    return {"id": list(range(first, first + 1000)), "text": ["x" * 100] * 1000}


with twinfold.connect(sys.argv[1]) as store:
    group = store.get_or_create_feature_group("notes", primary_key=["id"])
    receipt = group.insert(rows(0))
    let_files_grow(1)
    try:
        group.insert(rows(1000))
        print("taken in")
    except TwinfoldError as error:
        print(type(error).__name__, error)
    let_files_grow()
    receipt.wait(timeout_s=60)
    # Rows that find room in the log, and none in the stores: of the online one from the beginning.
    let_files_grow(online_bytes())
    receipt = group.insert(rows(2000))
    let_files_grow(1)
    try:
        receipt.wait(timeout_s=3)
        print("the stores took them")
    except WaitTimeoutError as error:
        print(type(error).__name__, error)
    let_files_grow()
    receipt.wait(timeout_s=60)
    print("went on", len(group.read(online=True)))
"""


def test_rows_survive_a_disk_that_is_full_for_a_while(folder):
    done = subprocess.run(
        [sys.executable, "-c", WRITER, folder], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("StoreError topic"), done.stdout
    assert "File too large" in lines[0]
    assert lines[1].startswith("WaitTimeoutError waiting for the stores"), done.stdout
    assert re.search(r"online is behind in [1-4] of 4 .*File too large", lines[1]), done.stdout
    assert lines[-1].startswith("went on"), done.stdout
    with twinfold.connect(folder) as store:
        group = store.get_feature_group("notes")
        # Whatever of the refused insert came in before the refusal is whole and counted once.
        found = sorted(group.read(online=True)["id"])
        assert set(range(1000)) | set(range(2000, 3000)) <= set(found)
        assert sorted(group.read()["id"]) == found
