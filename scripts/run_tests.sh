#!/usr/bin/env bash
# Install what the tests need and run them: Python packages into .venv; Debian packages as root or with sudo that asks
# for no password. Tests whose packages are missing are skipped, and the last line names the packages.
#     bash scripts/run_tests.sh [PYTEST_ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/install_packages.sh
source scripts/setup_venv.sh
install_packages ascend310_infer/packages.txt tests/packages.txt
setup_venv requirements.txt requirements-test.txt requirements-convert.txt
exec "$PYTHON" -m pytest tests -rs "$@"
