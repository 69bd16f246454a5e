"""Data sets of the Hugging Face hub by their ids: `hf:jxu124/invig` wherever a path of a data set is taken.

Only a name that begins with `hf:` is looked up there, so no slip in a path fetches anything. The parquet files are
downloaded once into the hub's own cache and read from there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from clue_ros.problems import MissingDataError

_ID = re.compile(r"hf:/*(?:datasets/)?(\w[\w.-]*/\w[\w.-]*)")


def hub_id(path: Path) -> Optional[str]:
    """'jxu124/invig' of 'hf:jxu124/invig' or 'hf://datasets/jxu124/invig'; None for a path."""
    match = _ID.fullmatch(str(path))
    return match[1] if match else None


def local_copy(name: str) -> Path:
    """The folder of a data set's parquet files. Raises MissingDataError."""
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=["*.parquet"]))
    except Exception as error:  # the hub's client raises its own, requests' and the system's errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MissingDataError(f"hf:{name} cannot be had from the Hugging Face hub: {reason}") from error
