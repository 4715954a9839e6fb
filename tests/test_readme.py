"""README.md names only files, links and flags that exist."""
import importlib
import re
from pathlib import Path

import pytest

from src.cli import config

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = "\n".join(re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)).replace("\\\n", " ")
SPANS = "\n".join(re.findall(r"`([^`\n]+)`", TEXT))
ENTRY_SCRIPTS = ("train", "eval", "infer", "export")


def options_of(script):
    return set(vars(config.parse([], importlib.import_module(f"src.cli.{script}").SECTIONS, "")))


def test_links_lead_to_files_and_headings():
    headings = {re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
                for line in TEXT.splitlines() if line.startswith("#")}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert target.startswith("https://") or target.lstrip("#") in headings or (ROOT / target).is_file(), target


def test_files_of_this_repository_exist():
    for path in set(re.findall(r"\b(?:src|scripts|tests|configs|docs|checkpoints|ascend310_infer)/[\w./]+\w", TEXT)):
        if not path.startswith("ascend310_infer/build/"):  # made by build.sh
            assert (ROOT / path).exists(), path


def test_every_promise_names_tests_that_exist():
    promises = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", promises):
        assert f"def {name}(" in tests, name
    rows = [line for line in promises.splitlines() if line.startswith("| ") and line != "| promise | test |"]
    assert rows and all("`" in row.split(" | ")[1] for row in rows)


@pytest.mark.parametrize("script", ENTRY_SCRIPTS)
def test_flags_in_commands_are_known(script):
    known = options_of(script) | {"config", "help"}
    commands = re.findall(rf"^(?:bash|python) .*?\b{script}\.py(.*)$", BLOCKS, re.MULTILINE)
    assert commands
    for command in commands:
        for flag in re.findall(r"--(\w+)", command.split("#")[0]):
            assert flag in known, f"{script}.py --{flag}"


def test_flags_in_the_text_are_known():
    known = set().union(*map(options_of, ENTRY_SCRIPTS))
    files = [*ROOT.glob("scripts/*"), *ROOT.glob("benchmarks/*"), ROOT / "ascend310_infer/src/options.cc"]
    other = "".join(path.read_text() for path in files if path.is_file())
    for flag in set(re.findall(r"(?<![\w-])--(\w+)", SPANS)) - {"help", "config"}:
        assert flag in known or f"--{flag}" in other, flag
