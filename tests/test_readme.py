"""The README and the pages of docs/ name only files, links and flags that exist."""
import importlib
import re
from pathlib import Path

import pytest

from src.cli import config

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(str(path.relative_to(ROOT)) for folder in (".", "docs", "checkpoints", "recipe")
               for path in (ROOT / folder).glob("*.md"))
ENTRY_SCRIPTS = ("train", "eval", "infer", "export")
CALL = re.compile(r"(?:\baecrnet-|\bsrc\.cli\.|(?<![\w.]))(train|eval|infer|export|serve)(?:\.py)?( .*|$)")


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def commands(text):
    """The lines of the bash blocks without their comments, continued lines joined."""
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    return [line.split(" #")[0].strip() for line in blocks.splitlines() if line.strip()]


def options_of(script):
    return set(vars(config.parse([], importlib.import_module(f"src.cli.{script}").SECTIONS, "")))


def flags_of_other_programs():
    files = [*ROOT.glob("scripts/*"), *ROOT.glob("benchmarks/*"), *ROOT.glob("recipe/*.py"),
             *ROOT.glob("ascend310_infer/*.sh"), ROOT / "ascend310_infer/src/options.cc"]
    return set(re.findall(r"--(\w+)", "".join(path.read_text(encoding="utf-8") for path in files if path.is_file())))


def headings(path):
    """The headings of a page, in the form in which links name them."""
    return {re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in read(path).splitlines() if line.startswith("#")}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)]+)\)", read(page)):
        path, _, heading = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert (target.startswith("https://")
                or linked.is_file() and (not heading or heading in headings(linked))), target


@pytest.mark.parametrize("page", PAGES)
def test_files_of_this_repository_exist(page):
    for path in set(re.findall(r"(?<![\w./:])(?:src|scripts|tests|configs|docs|checkpoints|ascend310_infer)/[\w./]+\w",
                               read(page))):
        if not path.startswith("ascend310_infer/build/"):  # made by build.sh
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_flags_in_commands_are_known(page):
    for command in commands(read(page)):
        script = CALL.search(command)
        for flag in re.findall(r"--(\w+)", script.group(2)) if script else []:
            assert flag in options_of(script.group(1)) | {"config", "help"}, f"{script.group(1)}.py --{flag}"


@pytest.mark.parametrize("page", PAGES)
def test_flags_in_the_text_are_known(page):
    known = set().union(*map(options_of, (*ENTRY_SCRIPTS, "serve"))) | flags_of_other_programs() | {"help", "config"}
    spans = "\n".join(re.findall(r"`([^`\n]+)`", read(page)))
    assert set(re.findall(r"(?<![\w-])--(\w+)", spans)) <= known


def test_the_readme_is_short_and_shows_each_program():
    text = read("README.md")
    assert len(text.splitlines()) <= 200
    for script in ENTRY_SCRIPTS:
        assert any(f"python {script}.py" in command for command in commands(text)), script


def test_the_chinese_readme_has_the_commands_and_numbers_of_the_english_one():
    english, chinese = read("README.md"), read("README_CN.md")
    assert commands(chinese) and set(commands(chinese)) <= set(commands(english))
    numbers = set(re.findall(r"\d+\.\d+", re.sub(r"```.*?```", "", chinese, flags=re.DOTALL)))
    assert numbers <= set(re.findall(r"\d+\.\d+", english))


def test_every_promise_names_tests_that_exist():
    promises = read("docs/reliability.md")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", promises):
        assert f"def {name}(" in tests, name
    tables = re.findall(r"\| promise \| test \|\n\|---\|---\|\n((?:\|.*\n)+)", promises)
    rows = "".join(tables).splitlines()
    assert rows and all("`" in row.split(" | ")[1] for row in rows)


def test_what_the_tour_and_the_table_of_copies_name_exists():
    text = read("CONTRIBUTING.md")
    places = re.findall(r"`(\w+)`\s+in\s+`([\w/]+\.py)`", text)
    assert len(places) >= 8
    for name, path in places:
        assert re.search(rf"^(def |class )?{name}\b", read(path), re.MULTILINE), f"{name} in {path}"
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name
