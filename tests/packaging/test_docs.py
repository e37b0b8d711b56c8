"""The documentation: code blocks of README.md and docs/ run in order, with one folder and namespace per file.

``python`` blocks are executed. Lines of ``sh`` blocks that begin with ``tinypyr`` are executed through the entry point
of the command. A block below the comment ``<!-- not run: REASON -->`` is not executed, but its ``tinypyr`` lines are
parsed, so that an option that does not exist is noticed. NOT_RUN counts these blocks.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tinypyr
from tinypyr import cli

ROOT = Path(__file__).resolve().parents[2]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documentation is not part of this copy")

#: Blocks that are not executed, per file.
NOT_RUN = {"README.md": 1, "cluster.md": 2, "stores.md": 2, "testing.md": 1, "tinybrain.md": 1, "vendoring.md": 1}
#: Packages without which blocks are skipped.
OPTIONAL = ("tensorstore", "click", "rich", "dask", "distributed", "scipy")
#: The demo's volumes, reduced in size.
DEMO_SHAPE = ["--shape", "150", "140", "40"]
LANGUAGES = {"python", "sh", "toml", "cmake"}
#: Files that CONTRIBUTING.md's lists of places may mean by a folder.
SOURCES = {".py", ".pyx", ".cpp", ".hpp", ".inl", ".txt", ".sh"}


@dataclass
class Block:
    language: str
    line: int  # of its first line of code
    code: str
    not_run: str | None

    def commands(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line and the words of every simple command of a shell block."""
        for number, text in enumerate(self.code.splitlines(), self.line):
            words: list[str] = []
            for word in [*shlex.split(text, comments=True), "&&"]:
                if word != "&&":
                    words.append(word)
                elif words:
                    yield number, words
                    words = []


def blocks_of(path: Path) -> list[Block]:
    lines = path.read_text(encoding="utf-8").splitlines()
    blocks: list[Block] = []
    start: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
            continue
        comment = re.fullmatch(r"<!-- not run: (.+) -->", lines[start - 1])
        code = "\n".join(lines[start + 1 : number]) + "\n"
        blocks.append(Block(lines[start].removeprefix("```"), start + 2, code, comment and comment[1]))
        start = None
    assert start is None, f"{path.name}:{(start or 0) + 1}: the block does not end"
    return blocks


def tinypyr_arguments(words: list[str]) -> list[str] | None:
    """Return the arguments of a ``tinypyr`` command; None for other commands."""
    if words[0].rpartition("/")[2] != "tinypyr":
        return None
    return [*words[1:], *DEMO_SHAPE] if words[1:2] == ["demo"] else words[1:]


def parse(arguments: list[str]) -> int:
    """Return the exit status of a command that prints its help: 2 if it does not have an option that is used."""
    try:
        return cli.main([*arguments, "--help"])
    except SystemExit as ended:
        return int(ended.code or 0)


def run_python(path: Path, block: Block, namespace: dict[str, Any]) -> None:
    tree = ast.parse(block.code, filename=path.name)
    ast.increment_lineno(tree, block.line - 1)  # errors name the line of the document
    exec(compile(tree, path.name, "exec"), namespace)


def run_shell(path: Path, block: Block) -> None:
    for number, words in block.commands():
        arguments = tinypyr_arguments(words)
        if arguments is not None:
            assert cli.main(arguments) == 0, f"{path.name}:{number}: {shlex.join(words)}"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_code_blocks_run_without_an_error(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__docs__"}
    for block in blocks_of(path):
        if block.not_run is not None:
            continue
        try:
            if block.language == "python":
                run_python(path, block, namespace)
            elif block.language == "sh":
                needs_store = any((tinypyr_arguments(words) or ["demo"])[0] != "demo" for _, words in block.commands())
                if needs_store:
                    importlib.import_module("tinypyr.store")
                    importlib.import_module("click")
                    importlib.import_module("rich")
                run_shell(path, block)
        except ImportError as error:
            missing = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]
            if not missing:
                raise
            pytest.skip(f"{path.name}:{block.line}: {error}; not installed: {', '.join(missing)}")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_commands_that_do_not_run_have_options_that_exist(path: Path) -> None:
    for block in blocks_of(path):
        if block.language != "sh" or block.not_run is None:
            continue
        for number, words in block.commands():
            arguments = tinypyr_arguments(words)
            if arguments is None:
                continue
            for name in ("tensorstore", "click", "rich"):
                pytest.importorskip(name)
            assert parse(arguments) == 0, f"{path.name}:{number}: {shlex.join(words)}"


def test_options_in_the_text_exist(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tensorstore", "click", "rich"):
        pytest.importorskip(name)
    known: set[str] = set()
    for command in ("demo", "build", "plan", "run", "finalize", "slurm", "apply", "info", "check", "preview", "view"):
        parse([command])
        known.update(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    for path in DOCS:
        text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        for option in re.findall(r"`(?:tinypyr [^`]*)?(--[a-z-]+)[^`]*`", text):
            assert option in known, f"{path.name}: {option}"


def test_programs_that_the_documentation_names_exist() -> None:
    for path in [*DOCS, ROOT / "CONTRIBUTING.md"]:
        text = path.read_text(encoding="utf-8")
        for program in re.findall(r"\b(?:python|bash) ((?:tests|bench)/[\w./]+)", text):
            assert (ROOT / program).is_file(), f"{path.name}: {program}"


def test_blocks_that_do_not_run_are_counted() -> None:
    counts = {path.name: sum(block.not_run is not None for block in blocks_of(path)) for path in DOCS}
    assert {name: count for name, count in counts.items() if count} == NOT_RUN


def test_places_to_add_things_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## How to add\n")[2].partition("\n## ")[0]
    bullets = re.findall(r"^- (.+(?:\n  .+)*)", section, re.M)
    assert len(bullets) > 40
    for bullet in bullets:
        places, _, rest = bullet.partition(": ")
        text = ""
        for name in re.findall(r"`([^`]+)`", places):
            place = ROOT / name
            assert place.exists(), f"CONTRIBUTING.md: {name} does not exist"
            files = [place] if place.is_file() else [file for file in place.rglob("*") if file.suffix in SOURCES]
            text += "".join(file.read_text(encoding="utf-8") for file in files)
        for name in re.findall(r"`([A-Za-z_][\w-]*|--\w+|\w+\.(?:cpp|py))`", rest):
            in_folder = any((ROOT / place / name).is_file() for place in re.findall(r"`([^`]+)`", places))
            assert in_folder or re.search(rf"(?<![\w-]){name}\b", text), f"CONTRIBUTING.md: {name} is not in {places}"


def test_languages_of_blocks_are_known() -> None:
    assert {block.language for path in DOCS for block in blocks_of(path)} <= LANGUAGES


def test_relative_links_lead_to_files() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "bench").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            file, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            linked = path.parent / file if file else path
            assert linked.exists(), f"{path.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.M)
                anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
                assert anchor in anchors, f"{path.name}: {target}"


@pytest.mark.parametrize(("name", "option"), [("README.md", []), ("docs/speed.md", ["--long"])])
def test_speed_tables_are_what_the_benchmark_prints(name: str, option: list[str]) -> None:
    if not (ROOT / "bench").is_dir():
        pytest.skip("the bench folder is not part of this copy")
    command = [sys.executable, str(ROOT / "bench" / "short.py"), *option]
    printed = subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout
    marked = re.search(
        r"<!-- begin: python bench/short.py.* -->\n(.*?)<!-- end -->", (ROOT / name).read_text(encoding="utf-8"), re.S
    )
    assert marked is not None
    assert marked[1] == printed


def test_the_readme_is_short_and_has_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    for words in ("tinypyr demo", "pytest -n"):  # .ci/run evaluates the first line that has them
        first = next(line for line in lines if words in line)
        assert first.startswith("python3 -m venv .venv && ")
        assert lines[lines.index(first) - 1] == "```sh"


def test_the_citation_names_this_version() -> None:
    assert f"\nversion: {tinypyr.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
