"""MkDocs hook: what the pages link to outside docs/ (the model's card, an example) becomes a page of the site.

    make docs            (mkdocs.yml names this file)

In the repository `../examples/pick_pipeline.py` is right and works in any viewer; in the site the same link leads to
`repository/examples/pick_pipeline.md`, a page with the file's text. A link to nothing is a warning, so an error.
"""

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
ROOM = "repository"  # folder of the site that stands for the repository
LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(#[^)\s]*)?(?=[)\s])")
SECOND_WORD = re.compile(r"^```(\w+) \w+$", re.MULTILINE)  # ```jsonl invig: the tests' name of an example
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".hpp": "cpp", ".cpp": "cpp", ".sh": "bash"}
log = logging.getLogger("mkdocs.hooks.docs_site")


def on_files(files, config):
    """Adds a page for each file outside docs/ that a page links to, and for what those link to in turn."""
    docs = Path(config.docs_dir)
    waiting = sorted(docs.rglob("*.md"))
    seen = set()
    while waiting:
        for target in targets_outside(waiting.pop(), docs):
            if target not in seen:
                seen.add(target)
                files.append(File.generated(config, page_of(target), content=text_of(target)))
                waiting += [target] if target.suffix == ".md" else []
    return files


def on_page_markdown(markdown, page, config, files):
    """Links that leave docs/, or lie in a file from outside, lead to the page that stands for their target. Code blocks
    lose the second word that MkDocs does not know."""
    docs, here = Path(config.docs_dir), page.file.src_uri
    source = ROOT / here.removeprefix(f"{ROOM}/") if here.startswith(f"{ROOM}/") else docs / here

    def led(match):
        target = target_of(source, match[1])
        if target is None or (source.is_relative_to(docs) and target.is_relative_to(docs)):
            return match[0]
        uri = target.relative_to(docs).as_posix() if target.is_relative_to(docs) else page_of(target)
        return posixpath.relpath(uri, posixpath.dirname(here)) + (match[2] or "")

    linked = outside_of_code(markdown, lambda text: LINK.sub(led, text))
    return SECOND_WORD.sub(lambda match: "```" + match[1].replace("jsonl", "json"), linked)


def targets_outside(source, docs):
    """Files outside docs/ that the Markdown file `source` links to."""
    text = outside_of_code(source.read_text(encoding="utf-8"), lambda text: text, keep_code=False)
    found = (target_of(source, match[1]) for match in LINK.finditer(text))
    return [target for target in found if target is not None and not target.is_relative_to(docs)]


def target_of(source, link):
    """The file that a relative link means, a folder's README.md for a folder; None if it is no file of the
    repository.
    """
    target = (source.parent / link).resolve()
    target = target / "README.md" if target.is_dir() else target
    if target.is_file() and target.is_relative_to(ROOT):
        return target
    if link.startswith("../"):
        log.warning("%s links to %s, which is no file", source.relative_to(ROOT), link)
    return None


def page_of(target):
    path = target.relative_to(ROOT).as_posix()
    return f"{ROOM}/{path}" if target.suffix == ".md" else f"{ROOM}/{path}.md"


def text_of(target):
    text = target.read_text(encoding="utf-8")
    if target.suffix == ".md":
        return text
    return f"# {target.relative_to(ROOT).as_posix()}\n\n````{LANGUAGES.get(target.suffix, 'text')}\n{text}\n````\n"


def outside_of_code(text, change, keep_code=True):
    """`change` applied to what stands outside fenced code."""
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0] if keep_code else ""]
        end = fence.end()
    return "".join([*parts, change(text[end:])])
