#!/usr/bin/env bash
# Install what the tests need, then run them. Python packages go into .venv. Debian packages need root, or a sudo that
# asks for no password. Tests without their packages are skipped, and the last line names the packages.
#     bash scripts/run_tests.sh [PYTEST_ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_venv.sh
install_packages ascend310_infer/packages.txt tests/packages.txt
need_mindspore
setup_venv requirements.txt requirements/{test,convert,onnx,openvino,photos,serve}.txt
# a process for each core up to four; the tests of a file share what they compile, so they stay together, in the order of
# tests/conftest.py; a test that hangs or crashes ends the run with its name (with a restart xdist may wait for ever)
exec "$PYTHON" -m pytest tests -rs --numprocesses "$(nproc)" --maxprocesses 4 --max-worker-restart 0 \
    --dist loadfile --no-loadscope-reorder "$@"
