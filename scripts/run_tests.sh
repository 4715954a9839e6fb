#!/usr/bin/env bash
# Install what the tests need into .venv and run them.
#     bash scripts/run_tests.sh [PYTEST_ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_venv.sh
setup_venv requirements.txt requirements-test.txt requirements-convert.txt
exec "$PYTHON" -m pytest tests "$@"
