#!/usr/bin/env bash
# Check what no test checks: style, types, and whether the pages and the docstrings can be built. Needs the packages of
# requirements/test.txt, which scripts/run_tests.sh installs.
#     bash scripts/run_checks.sh
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/ruff check .
.venv/bin/mypy
bash scripts/build_docs.sh
