"""An S3 server over a folder, with atomic conditional PUT: the Versity S3 Gateway."""

from pathlib import Path

from . import artifacts
from .process import Spec, free_port

ACCESS_KEY = "twinfold"
SECRET_KEY = "twinfold-secret"
BUCKET = "twinfold"
REGION = "us-east-1"


def prepare(folder: Path) -> tuple[list[Spec], dict[str, str]]:
    """Gives how to start a gateway with one bucket and how clients reach it."""
    program = artifacts.go_program("versitygw", artifacts.VERSITYGW)
    folder = folder / "s3"
    # A bucket is a folder.
    (folder / "data" / BUCKET).mkdir(parents=True)
    port = free_port()
    spec = Spec(
        name="s3",
        command=[str(program), "--port", f"127.0.0.1:{port}", "posix", str(folder / "data")],
        folder=str(folder),
        port=port,
        env={"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
    )
    settings = {
        "endpoint": f"http://127.0.0.1:{port}",
        "bucket": BUCKET,
        "region": REGION,
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
    }
    return [spec], settings
