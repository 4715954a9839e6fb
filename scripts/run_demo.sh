#!/usr/bin/env bash
# From a fresh clone to dehazed photos. Installs into .venv what inference needs, adds haze to the photos of
# scikit-image, dehazes them with the shipped weights, prints the scores, and writes pictures and a report to output/demo/.
#     bash scripts/run_demo.sh
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_venv.sh
setup_venv requirements/infer.txt requirements/report.txt requirements/eval.txt
exec "$PYTHON" scripts/demo.py --output_dir output/demo
