#!/usr/bin/env bash
# Train on one device with the settings of configs/reference.yaml. Results go to ckpt/FILENAME. More flags of train.py
# may follow, for example --resume or --contra_lambda 0. A --config among them replaces these settings. DEVICE_ID selects
# the card.
set -euo pipefail

usage() {
    echo "Usage: bash scripts/run_standalone_train.sh [TRAIN_DATA_PATH] [FILENAME] [DEVICE] [flags of train.py ...]" >&2
    echo "error: $1" >&2
    exit 2
}

[ $# -ge 3 ] || usage "three arguments are needed, found $#"
data=$1 filename=$2 device=$3
shift 3
[ -d "$data" ] || usage "TRAIN_DATA_PATH $data is not a folder"
case $device in CPU | GPU | Ascend) ;; *) usage "DEVICE must be CPU, GPU or Ascend, not $device" ;; esac

data=$(cd "$data" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
[ -x $python ] || python=python
exec $python train.py --config configs/reference.yaml --device_target "$device" --device_id "${DEVICE_ID:-0}" \
    --dir_data "$data" --ckpt_save_path "ckpt/$filename" --filename "$filename" "$@"
