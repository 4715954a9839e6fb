#!/bin/bash
# Score a checkpoint on a test set.
#
#   bash scripts/run_eval.sh                                   the shipped checkpoint on the demo photos
#   bash scripts/run_eval.sh DATA_PATH [CKPT] [DATA_TEST] [DEVICE_TARGET] [flags of eval.py]
#
# CKPT: "" means the shipped checkpoint. DATA_TEST: RESIDE, Dense (the default, as in the model zoo), NHHaze, OHAZE, IHAZE or
# Pairs. DEVICE_TARGET: CPU (the default), GPU or Ascend.
set -e
repo=$(cd "$(dirname "$0")/.." && pwd)
python=$repo/.venv/bin/python
[ -x "$python" ] || python=python3

positional=()
while [ $# -gt 0 ] && [[ $1 != --* ]] && [ ${#positional[@]} -lt 4 ]; do
    positional+=("$1")
    shift
done
flags=()
if [ ${#positional[@]} -gt 0 ]; then
    if [ ! -d "${positional[0]}" ]; then
        echo "error: DATA_PATH ${positional[0]}: no such folder" >&2
        exit 1
    fi
    flags=(--dir_data "${positional[0]}" --ckpt_path "${positional[1]}" --data_test "${positional[2]:-Dense}"
           --device_target "${positional[3]:-CPU}")
fi
exec "$python" "$repo/eval.py" "${flags[@]}" "$@"
