"""Where a connection begins."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from twinfold import _core
from twinfold.exceptions import InvalidDefinitionError, NotAvailableError
from twinfold.feature_store import FeatureStore


def connect(url: str | os.PathLike[str]) -> FeatureStore:
    """Open a feature store.

    Parameters
    ----------
    url
        ``file:///path`` or a plain path: the platform runs inside this process and keeps everything
        in that folder, which is made when it is not there. One process at a time may have it open.

    Returns
    -------
    FeatureStore
        Use it as a context manager, or call its ``close``.

    Raises
    ------
    LockedError
        When another process has the folder open.
    NotAvailableError
        For addresses of a deployment, which this version cannot talk to yet.

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
    twinfold.exceptions.NotAvailableError: https://features.example.com: connecting to a ...
    """
    path = _folder(url)
    return FeatureStore._opened(_core.open_embedded(path), path)


def _folder(url: str | os.PathLike[str]) -> Path:
    if not isinstance(url, str):
        return Path(url).expanduser().absolute()
    if "://" not in url:
        if not url or url.startswith("file:"):
            raise InvalidDefinitionError(f"wanted a folder or a file:/// address, found {url!r}")
        return Path(url).expanduser().absolute()
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        raise NotAvailableError(
            f"{url}: connecting to a deployment is not available in this version; "
            "give a folder or a file:/// address"
        )
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
        raise InvalidDefinitionError(
            f"wanted a folder or file:/// with an absolute path, found {url}"
        )
    return Path(unquote(parts.path))
