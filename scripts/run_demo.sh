#!/usr/bin/env bash
# From a fresh clone to cleared photos: installs into .venv, hazes the photos that scikit-image ships,
# dehazes them with the shipped weights, prints the scores, writes pictures and a report to output/demo/.
#     bash scripts/run_demo.sh
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_venv.sh
setup_venv requirements.txt
exec "$PYTHON" scripts/demo.py --output_dir output/demo
