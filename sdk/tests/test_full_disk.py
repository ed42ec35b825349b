"""A disk that takes nothing more loses nothing, and is forgiven once it does again."""

import subprocess
import sys

import twinfold

# The kernel refuses to let any file grow, as a full disk does, until it is told otherwise.
WRITER = """
import resource
import sys

import twinfold
from twinfold.exceptions import TwinfoldError, WaitTimeoutError


def let_files_grow(allowed):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if allowed else 1, hard))


def rows(first):
    return {"id": list(range(first, first + 1000)), "text": ["x" * 100] * 1000}


with twinfold.connect(sys.argv[1]) as store:
    group = store.get_or_create_feature_group("notes", primary_key=["id"])
    receipt = group.insert(rows(0))
    let_files_grow(False)
    try:
        group.insert(rows(1000))
        print("taken in")
    except TwinfoldError as error:
        print(type(error).__name__, error)
    let_files_grow(True)
    receipt.wait(timeout_s=60)
    # Rows that are in the log, and stores that cannot take them.
    let_files_grow(True)
    receipt = group.insert(rows(2000))
    let_files_grow(False)
    try:
        receipt.wait(timeout_s=3)
        print("both stores were quicker")
    except WaitTimeoutError as error:
        print("WaitTimeoutError", error)
    let_files_grow(True)
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
    assert lines[-1].startswith("went on"), done.stdout
    with twinfold.connect(folder) as store:
        group = store.get_feature_group("notes")
        # Whatever of the refused insert came in before the refusal is whole and counted once.
        found = sorted(group.read(online=True)["id"])
        assert set(range(1000)) | set(range(2000, 3000)) <= set(found)
        assert sorted(group.read()["id"]) == found
