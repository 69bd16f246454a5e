"""README and docs/: every link leads somewhere, every command is one, every picture is there, and the site builds."""

import argparse
import ast
import contextlib
import importlib.util
import io
import itertools
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rooms import rooms_of_the_architecture

from clue_ros.cli.main import VERBS, build_parser
from clue_ros.images.encodings import SUPPORTED_ENCODINGS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples/pick_pipeline_cpp/README.md",
    ROOT / "clue_ros/models/tabletop/README.md",
]
LOG = sorted((ROOT / "docs" / "log").glob("*.md"))  # dated records: their commands are those of the day
FENCE = re.compile(r"^(```+)(.*?)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
LARGEST_PICTURE = 1_500_000  # bytes


def text_of(page):
    return page.read_text(encoding="utf-8")


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors_of(page):
    """The anchors of a page's headings, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).strip().replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("page", PAGES + LOG, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(page):
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page))):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or not target.is_relative_to(ROOT):
            wrong.append(f"{link}: no such file")
        elif anchor and anchor not in anchors_of(target):
            wrong.append(f"{link}: no such heading")
    assert not wrong, f"{page.relative_to(ROOT)}: {wrong}"


def test_the_log_lists_every_record():
    listed = set(re.findall(r"\]\((\d[\w-]+\.md)\)", text_of(ROOT / "docs" / "log" / "index.md")))
    assert listed == {page.name for page in LOG} - {"index.md"} and listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_line_is_wider_than_120_columns(page):
    """Outside tables, code blocks and pictures: a diff then shows what changed."""
    lines = FENCE.sub("", text_of(page)).splitlines()
    wide = [line for line in lines if len(line) > 120 and not line.startswith(("|", "!["))]
    assert not wide, f"{page.relative_to(ROOT)}: {wide}"


def test_pictures_are_small_enough_and_each_is_used():
    used = {
        (page.parent / link).resolve()
        for page in PAGES + LOG
        for link in re.findall(r"!\[[^]]*\]\(([^)\s]+)\)", text_of(page))
    }
    pictures = {path for path in (ROOT / "docs" / "images").rglob("*") if path.is_file()}
    icon = ROOT / "docs" / "images" / "icon.svg"  # named in mkdocs.yml
    assert pictures <= used | {icon}, f"shown nowhere: {sorted(path.name for path in pictures - used - {icon})}"
    large = {path.name: path.stat().st_size for path in used & pictures if path.stat().st_size > LARGEST_PICTURE}
    assert not large


def commands_of(page):
    """(words of one simple command, whether it stands in a block) for each one that the page shows."""
    text, found = text_of(page), []
    for _, language, body in FENCE.findall(text):
        if language.split(" ")[0] in ("", "bash"):
            body = re.sub(r"<<'(\w+)'.*?^\1$", "", body.replace("\\\n", " "), flags=re.MULTILINE | re.DOTALL)
            found += [(line, True) for line in body.splitlines()]
    found += [(code, False) for code in re.findall(r"`([^`\n]+)`", FENCE.sub("", text))]
    commands = []
    for line, in_block in found:
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars="&;|")
            lexer.whitespace_split, lexer.commenters = True, "#"
            words = list(lexer)
        except ValueError:
            continue  # a quotation mark alone: no command
        start = 0
        for end in [*(n for n, word in enumerate(words) if set(word) <= set("&;|")), len(words)]:
            command = (
                [word for word in words[start:end] if not re.fullmatch(r"[A-Z_]+=\S*|sudo|scripts/run\.sh", word)]
                if words[start : start + 1] != ["make"]
                else words[start:end]
            )
            commands += [(command, in_block)] if command else []
            start = end + 1
    return commands


def all_commands(first):
    return [
        (page.name, words, in_block) for page in PAGES for words, in_block in commands_of(page) if words[0] == first
    ]


def test_every_clue_command_is_one_that_the_command_line_takes():
    wrong, tried = [], 0
    for page, words, in_block in all_commands("clue"):
        tried += 1
        arguments = ["1" if word == "N" else word for word in words[1:] if word != "…"]
        whole = in_block and "…" not in words and len(arguments) > 1
        problem = parse_problem(arguments) if whole else unknown_part(arguments)
        if problem:
            wrong.append(f"{page}: {shlex.join(words)}: {problem}")
    assert not wrong, "\n".join(wrong)
    assert tried > 60


def parse_problem(arguments):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            build_parser(arguments)[0].parse_args(arguments)
    except SystemExit as end:
        return said.getvalue().strip().splitlines()[-1] if end.code else ""
    return ""


def unknown_part(arguments):
    """The first verb or option of an incomplete command that does not exist."""
    if arguments and not arguments[0].startswith("-") and arguments[0] not in VERBS:
        return f"no verb {arguments[0]}"
    parser = build_parser(arguments)[0]
    for word in arguments:
        choices = next(
            (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None
        )
        if choices and not word.startswith("-"):
            if word not in choices:
                return f"none of {', '.join(choices)}: {word}"
            parser = choices[word]
        elif word.startswith("--") and word.partition("=")[0] not in parser._option_string_actions:
            return f"no option {word}"
    return ""


def test_a_command_that_does_not_exist_is_found():
    assert "grownd" in unknown_part(["grownd"]) and "--modle" in unknown_part(["ground", "--modle"])
    assert "tabletopp" in unknown_part(["evaluate", "tabletopp"]) and not unknown_part(
        ["evaluate", "tabletop", "--scenes"]
    )
    assert "--count" in parse_problem(["scenes", "--output", "x", "--count", "many"])


def test_every_make_target_and_variable_exists():
    makefile = text_of(ROOT / "Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^(?:export )?([A-Z]+)\b", makefile, re.MULTILINE))
    commands = all_commands("make")
    assert len(commands) > 10
    for page, words, _ in commands:
        for word in words[1:]:
            name, is_variable, _ = word.partition("=")
            assert name in (variables if is_variable else targets), f"{page}: {' '.join(words)}: make has no {name}"


def test_every_program_module_and_script_exists():
    programs = set(re.findall(r"^\s+(\w+)=clue_ros[\w.]+\)?$", text_of(ROOT / "CMakeLists.txt"), re.MULTILINE))
    assert {"clue", "clue_node", "scripted_ground"} <= programs
    for page, words, _ in all_commands("ros2"):
        if words[1:3] == ["run", "clue_ros"] and words[3:] != ["…"]:
            assert words[3] in programs, f"{page}: {' '.join(words)}"
    modules = [(page, words[2]) for page, words, _ in all_commands("python") if words[1:2] == ["-m"]]
    for page, module in modules:
        path = ROOT.joinpath(*module.split("."))
        known = path.with_suffix(".py").is_file() or (path / "__main__.py").is_file() or module in ("pytest", "pip")
        assert known, f"{page}: python -m {module}"
    assert modules
    for page in PAGES:
        for script in re.findall(
            r"(?<![\w/])(scripts/[\w./]+|launch/[\w.]+|config/[\w.]+|examples/[\w./]+\w)", text_of(page)
        ):
            assert (ROOT / script.rstrip("./")).exists(), f"{page.name}: {script}"


def test_the_architecture_names_every_room():
    """docs/architecture.md has a row for each folder of the package, and the diagram's folders and files are there."""
    package = ROOT / "clue_ros"
    rooms = {path.parent.relative_to(package).as_posix() + "/" for path in package.rglob("__init__.py")} - {"./"}
    assert {room for room in rooms_of_the_architecture() if room.endswith("/")} == rooms
    draw = runpy.run_path(str(ROOT / "scripts" / "draw_architecture.py"))
    svg = text_of(ROOT / "docs" / "images" / "architecture.svg")
    assert svg == draw["drawing"](), (
        "docs/images/architecture.svg is not what scripts/draw_architecture.py draws: run it"
    )
    for place in re.findall(r"· ([\w/.]+)", svg):
        path = ROOT / "clue_ros" / place
        assert path.exists() or path.with_suffix(".py").exists(), place


def test_verbs_in_the_architecture_are_those_of_the_command_line():
    listed = re.search(r"`clue ([a-z /-]+)`, one thin file a verb", text_of(ROOT / "docs" / "architecture.md"))[1]
    assert {verb.strip() for verb in listed.split("/")} == set(VERBS)


def test_every_encoding_stands_in_the_interfaces():
    rows = re.search(
        r"^\| encodings of `image` .*?\n\n", text_of(ROOT / "docs" / "interfaces.md"), re.MULTILINE | re.DOTALL
    )[0]
    listed = set(re.findall(r"\w+", rows))
    for before, *choices in re.findall(r"(\w+)\{([\w,]+)\}\{([\w,]+)\}", rows):
        listed |= {before + "".join(parts) for parts in itertools.product(*(c.split(",") for c in choices))}
    assert set(SUPPORTED_ENCODINGS) <= listed


def test_tests_that_contributing_names_are_there():
    """Every `test_…` of CONTRIBUTING.md is a test or a file of tests."""
    named = set(re.findall(r"\btest_\w+", text_of(ROOT / "CONTRIBUTING.md")))
    files = list((ROOT / "test").rglob("test_*.py"))
    known = {path.stem for path in files}
    for path in files:
        known |= set(re.findall(r"^def (test_\w+)", text_of(path), re.MULTILINE))
    assert named and named <= known, named - known


def test_python_examples_are_python():
    for page in PAGES:
        for _, language, body in FENCE.findall(text_of(page)):
            if language == "python":
                ast.parse(
                    "async def example():\n" + "\n".join("    " + line for line in body.splitlines()) + "\n    pass"
                )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("MkDocs Material is not installed (make test does it: requirements/docs.txt)")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_builds_without_a_warning_and_has_every_page(site):
    for page in sorted((ROOT / "docs").rglob("*.md")):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file(), page.name
    assert (site / "search" / "search_index.js").is_file(), "search without a server"
    assert "--8&lt;--" not in text_of(site / "index.html") and "knows when to ask" in text_of(site / "index.html")


def test_the_site_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?([^\"'\s>]+)", text_of(page))
        loaded += re.findall(
            r"<link\b(?![^>]*rel=[\"']?(?:canonical|next|prev))[^>]*\bhref=[\"']?([^\"'\s>]+)", text_of(page)
        )
        assert loaded and not [address for address in loaded if re.match(r"(https?:)?//", address)], page.name


def test_the_messages_that_the_faq_quotes_are_the_programs_own():
    """In the first column, what stands in backquotes and has three words or more."""
    sources = [*(ROOT / "clue_ros").rglob("*.py"), *(ROOT / "scripts").rglob("*.py"), *(ROOT / "scripts").glob("*.sh")]
    code = " ".join(re.sub(r'"\s*\n\s*f?"', "", text_of(path)) for path in sources)
    code = re.sub(r"\{[^{}\n]*\}", "…", code)  # of f-strings, which a line holds whole
    quoted = [
        quote
        for row in re.findall(r"^\| (.*?) \| ", text_of(ROOT / "docs" / "faq.md"), re.MULTILINE)
        for quote in re.findall(r"`([^`]+)`", row)
        if len(quote.split()) >= 3 and not quote.startswith(("clue ", "make "))
    ]
    assert len(quoted) >= 8
    for piece in (piece.strip() for quote in quoted for piece in re.split(r"…|'\w+'", quote)):
        assert piece in code, f"docs/faq.md quotes {piece!r}, which nothing says"
