"""What the scripts do before MindSpore can be imported."""
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def bash(folder, script):
    return subprocess.run(["/bin/bash", "-c", f"source scripts/setup_venv.sh; {script}"], cwd=folder,
                          capture_output=True, text=True)


def test_a_missing_libgomp_is_one_line_that_names_its_package():
    """`/bin/false` is a Python that cannot load the library, and nothing may be installed."""
    done = bash(ROOT, "install_packages() { :; }; need_openmp /bin/false")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "libgomp.so.1" in done.stderr and "apt-get install -y libgomp1" in done.stderr


def test_packages_that_come_later_keep_the_limits_of_the_earlier_ones(tmp_path):
    """pip sees a.txt too, although only b.txt is new. A Python that writes down its arguments stands for .venv's."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    python = tmp_path / ".venv/bin/python"
    (tmp_path / ".venv/installed").mkdir(parents=True)
    python.parent.mkdir()
    python.write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/calls\n')
    python.chmod(0o755)
    shutil.copy(python, python.with_name("pip"))
    for name in ("a.txt", "b.txt", ".venv/installed/a.txt"):
        (tmp_path / name).write_text(name[-5:])
    for _ in range(2):  # the second time nothing is new
        assert bash(tmp_path, "setup_venv a.txt b.txt").returncode == 0
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if "pip" in line]
    assert len(calls) == 1 and calls[0].endswith("-ra.txt -rb.txt")


def test_half_a_venv_is_finished_by_the_next_call(tmp_path):
    """`python -m venv` without ensurepip fails and leaves a .venv that has a Python but no pip."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    maker = tmp_path / "maker"  # stands for the machine's Python and, behind a link, for that of .venv
    maker.write_text('#!/bin/bash\n[ "$2" = venv ] || exit 0\nmkdir -p "$3/bin"; ln -sf "$0" "$3/bin/python"\n'
                     '[ -e may_have_pip ] && touch "$3/bin/pip" && chmod +x "$3/bin/pip"\n')
    maker.chmod(0o755)
    call = f"export AECRNET_PYTHON={maker}; touch a.txt; setup_venv a.txt"
    assert bash(tmp_path, call).returncode == 1
    assert bash(tmp_path, call).returncode == 1
    (tmp_path / "may_have_pip").touch()
    assert bash(tmp_path, call).returncode == 0
    assert (tmp_path / ".venv/installed/a.txt").is_file()


# which Python

def fake_python(folder, name, version, makes_venv=""):
    """A program that answers for a Python of that version. `makes_venv`: what it does for `-m venv FOLDER`."""
    path = folder / name
    path.write_text(f'#!/bin/bash\n[ "$1" = --version ] && echo Python {".".join(map(str, version))}\n'
                    f'[ "$1" = -c ] && exec {sys.executable} -c "import sys; sys.version_info = {version}; $2"\n'
                    f'[ "$2" = venv ] && {{ {makes_venv or "false"}; exit; }}\ntrue\n')
    path.chmod(0o755)
    return path


def python_found(folder, script="find_python", **environment):
    """What the script prints, where no other Python is on PATH."""
    return subprocess.run(["/bin/bash", "-c", f"source {ROOT}/scripts/setup_venv.sh; ROOT={folder}; {script}"],
                          env={"PATH": f"{folder}:/usr/bin:/bin", **environment}, capture_output=True, text=True)


ALL_NAMES = ("python3.11", "python3.12", "python3.10", "python3.9", "python3", "python")


def test_a_python_that_mindspore_takes_is_preferred_and_a_newer_one_serves(tmp_path):
    for name in ALL_NAMES:
        fake_python(tmp_path, name, (3, 14, 1))
    assert python_found(tmp_path).stdout.strip() == str(tmp_path / "python3.11")
    fake_python(tmp_path, "python3.10", (3, 10, 0))
    assert python_found(tmp_path).stdout.strip() == str(tmp_path / "python3.10")
    chosen = fake_python(tmp_path, "mine", (3, 13, 0))
    assert python_found(tmp_path, AECRNET_PYTHON=str(chosen)).stdout.strip() == str(chosen)


def test_no_python_at_all_is_one_line(tmp_path):
    for name in ALL_NAMES:
        fake_python(tmp_path, name, (3, 8, 1))
    done = python_found(tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: Python 3.9 or newer is needed, found Python 3.8.1; set AECRNET_PYTHON")


UV = ('mkdir -p "$3/bin"; ln -sf /bin/true "$3/bin/pip"; '
      'printf \'#!/bin/bash\\n%s\\n\' "$UV_DOES" > "$3/bin/uv"; chmod +x "$3/bin/uv"')


def test_uv_fetches_a_python_for_mindspore_and_takes_the_place_of_a_newer_one(tmp_path):
    for name in ALL_NAMES:
        fake_python(tmp_path, name, (3, 13, 5), UV)
    fetched = fake_python(tmp_path, "fetched", (3, 12, 9))
    (tmp_path / ".venv/installed").mkdir(parents=True)
    finds = f'[ "$2" = find ] && echo {fetched}; true'
    done = python_found(tmp_path, 'need_mindspore; echo "$AECRNET_PYTHON"', UV_DOES=finds)
    assert done.stdout.strip() == str(fetched) and not (tmp_path / ".venv").exists()


def test_where_uv_can_fetch_nothing_one_line_says_what_is_left_out(tmp_path):
    for name in ALL_NAMES:
        fake_python(tmp_path, name, (3, 13, 5), UV)
    (tmp_path / ".venv/installed").mkdir(parents=True)
    fails = "echo '  cause: no network'; false"
    done = python_found(tmp_path, 'need_mindspore; echo "[${AECRNET_PYTHON:-}]"', UV_DOES=fails)
    assert done.stdout.strip() == "[]" and (tmp_path / ".venv").exists()
    assert done.stderr.splitlines()[1:] == [
        "warning: MindSpore 2.8.0 takes Python 3.9 to 3.12, here is Python 3.13.5, and uv could fetch no other "
        "(no network); what needs MindSpore is left out"]


# tests without MindSpore

@pytest.mark.slow
def test_tests_that_need_mindspore_are_left_out_where_there_is_none_and_others_fail_as_ever(tmp_path):
    for name in ("conftest.py", "needs.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / name)
    (tmp_path / "test_a.py").write_text("import mindspore\ndef test_a():\n    pass\n")
    (tmp_path / "test_b.py").write_text("def test_b():\n    import mindspore\n"
                                       "def test_c():\n    assert False, 'a fault'\n")
    code = """
import builtins, importlib.util, sys
found, imported = importlib.util.find_spec, builtins.__import__
def without(name, *more):
    if name == 'mindspore':
        raise ModuleNotFoundError("No module named 'mindspore'")
    return imported(name, *more)
builtins.__import__ = without
importlib.util.find_spec = lambda name, *more: None if name == 'mindspore' else found(name, *more)
import pytest
sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "1 failed, 2 skipped" in done.stdout and "a fault" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("2 test files and tests were left out: they need MindSpore, which")
