"""What the scripts do before MindSpore can be imported."""
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_a_missing_libgomp_is_one_line_that_names_its_package():
    """`/bin/false` is a Python that cannot load the library, and nothing may be installed."""
    script = "source scripts/setup_venv.sh; install_packages() { :; }; need_openmp /bin/false"
    done = subprocess.run(["/bin/bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: MindSpore needs libgomp.so.1; on Debian or Ubuntu: apt-get install -y libgomp1\n"
