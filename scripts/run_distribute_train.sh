#!/usr/bin/env bash
# Train on DEVICE_NUM devices of each host with the settings of configs/reference.yaml. A --config among the flags
# replaces these settings. Results go to ckpt/FILE_NAME. The logs of all ranks go to LOG_DIR, by default
# ckpt/FILE_NAME/logs.
#
#   bash scripts/run_distribute_train.sh ITS aecrnet 8                          eight Ascend cards of one host
#   DEVICE_TARGET=CPU bash scripts/run_distribute_train.sh ITS aecrnet 2 --batch_size 4 --resume
#   NODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 bash scripts/run_distribute_train.sh ITS aecrnet 8       on the first host,
#   NODES=2 NODE_RANK=1 MASTER_ADDR=10.0.0.1 bash scripts/run_distribute_train.sh ITS aecrnet 8       on the second
#
# --batch_size counts the images of one rank: a step learns from ranks * batch_size images. --lr is used as given.
set -euo pipefail

usage() {
    echo "Usage: [DEVICE_TARGET=Ascend] [NODES=1 NODE_RANK=0 MASTER_ADDR= MASTER_PORT=8118] [LOG_DIR=] bash" \
        "scripts/run_distribute_train.sh [TRAIN_DATA_DIR] [FILE_NAME] [DEVICE_NUM] [RANK_TABLE_FILE]" \
        "[flags of train.py ...]" >&2
    echo "error: $1" >&2
    exit 2
}

[ $# -ge 3 ] || usage "three arguments are needed, found $#"
data=$1 filename=$2 devices=$3 table=() target=${DEVICE_TARGET:-Ascend}
shift 3
[ -d "$data" ] || usage "TRAIN_DATA_DIR $data is not a folder"
[[ $devices =~ ^[1-9][0-9]*$ ]] || usage "DEVICE_NUM must be a number from 1 on, not $devices"
case $target in CPU | GPU | Ascend) ;; *) usage "DEVICE_TARGET must be CPU, GPU or Ascend, not $target" ;; esac
if [ $# -gt 0 ] && [[ $1 != --* ]]; then
    [ -f "$1" ] || usage "RANK_TABLE_FILE $1: no such file"
    table=(--rank_table "$(realpath "$1")")
    shift
fi

data=$(cd "$data" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
[ -x $python ] || python=python
exec $python -m src.cli.launch --workers "$devices" --log_dir "${LOG_DIR:-ckpt/$filename/logs}" ${table[@]+"${table[@]}"} train.py \
    --config configs/reference.yaml --device_target "$target" --dir_data "$data" --ckpt_save_path "ckpt/$filename" --filename "$filename" "$@"
