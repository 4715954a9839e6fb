"""What the scripts do before MindSpore can be imported."""
import shutil
import subprocess
from pathlib import Path

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
