"""Where a connection begins."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from twinfold import _core
from twinfold.exceptions import InvalidDefinitionError, NotAvailableError
from twinfold.feature_store import FeatureStore


def connect(url: str | os.PathLike[str], *, topic: str | None = None) -> FeatureStore:
    """Open a feature store.

    Parameters
    ----------
    url
        ``file:///path`` or a plain path: the platform runs inside this process and keeps everything
        in that folder, which is made when it is not there. One process at a time may have it open.

        ``http://host:port``: the platform that ``twinfold up`` or a deployment runs there, for many
        at a time. Closing the store ends this connection only.
    topic
        Where a deployment keeps its rows, as its services name it:
        ``kafka://host:port,host:port?topic_prefix=...``. For an ``http`` address, when this machine
        can reach Kafka: rows are encoded here and go straight there, instead of through the
        platform. Everything else is the same.

    Returns
    -------
    FeatureStore
        The same for every kind of address. Use it as a context manager, or call its ``close``.

    Raises
    ------
    LockedError
        When another process has the folder open.
    StoreError
        When nobody answers at the address.
    InvalidDefinitionError
        For an address that is none, and for a topic beside a folder, which has its own.
    NotAvailableError
        For ``https``, which this version does not speak.

    Examples
    --------
    >>> import tempfile
    >>> store = twinfold.connect(tempfile.mkdtemp())
    >>> store.get_feature_groups()
    []
    >>> store.close()
    >>> twinfold.connect("https://features.example.com")
    Traceback (most recent call last):
        ...
    twinfold.exceptions.NotAvailableError: https://features.example.com: this version speaks no ...
    """
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        return FeatureStore._opened(_remote(url, topic), url)
    path = _folder(url)
    if topic is not None:
        raise InvalidDefinitionError(
            f"topic {topic!r} is for the address of a platform; the platform in {path} has its own"
        )
    return FeatureStore._opened(_core.open_embedded(path), path)


def _remote(url: str, topic: str | None) -> _core.Platform:
    if url.startswith("https://"):
        raise NotAvailableError(
            f"{url}: this version speaks no TLS; wanted http://, for instance of a proxy on this "
            "machine that does"
        )
    return _core.open_remote(url, topic)


def _folder(url: str | os.PathLike[str]) -> Path:
    if not isinstance(url, str):
        return Path(url).expanduser().absolute()
    if "://" not in url:
        if not url or url.startswith("file:"):
            raise InvalidDefinitionError(f"wanted a folder or a file:/// address, found {url!r}")
        return Path(url).expanduser().absolute()
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
        raise InvalidDefinitionError(
            f"wanted a folder, file:/// with an absolute path or http://host:port, found {url}"
        )
    return Path(unquote(parts.path))
