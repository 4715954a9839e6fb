#!/bin/bash
# Dehaze with the C++ program through MindSpore Lite, on CPU or Ascend 310, and score against the ground truth.
#
#   bash scripts/run_infer_310.sh [MINDIR_PATH] [DATA_PATH] [DEVICE_TARGET] [DEVICE_ID] [flags of aecrnet_infer]
#
# MINDIR_PATH: a model that export.py wrote. MindSpore Lite 2.0.0 needs the file that ends in _lite20.mindir. "" exports
#     the shipped checkpoint with open size.
# DATA_PATH: a test set, whose layout is found or given by DATA_TEST (the layouts of eval.py). A folder of images or one
#     image, without ground truth, is dehazed but not scored.
# DEVICE_TARGET: CPU (default) or Ascend310. DEVICE_ID: 0.
# Results go to OUTPUT, by default output/infer_310/. MindSpore Lite comes from MSLITE_ROOT, otherwise from PyPI.
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
python=$repo/.venv/bin/python
[ -x "$python" ] || python=python3

fail() { echo "error: $*" >&2; exit "${code:-1}"; }

positional=()
while [ $# -gt 0 ] && [[ $1 != --* ]]; do
    positional+=("$1")
    shift
done
usage="bash scripts/run_infer_310.sh [MINDIR_PATH] [DATA_PATH] [DEVICE_TARGET] [DEVICE_ID]"
[ ${#positional[@]} -ge 2 ] && [ ${#positional[@]} -le 4 ] ||
    code=2 fail "usage: $usage, found ${#positional[@]} arguments"
model=${positional[0]} data=${positional[1]} target=${positional[2]:-CPU} device=${positional[3]:-0}
output=${OUTPUT:-$repo/output/infer_310}

[ -e "$data" ] || fail "DATA_PATH $data: no such file or folder"
mkdir -p "$output" 2>/dev/null && [ -w "$output" ] || fail "OUTPUT $output: cannot write there"
if [ -z "$model" ]; then
    [ "$target" = CPU ] || code=2 fail "MINDIR_PATH: needed for $target; export.py writes it with a fixed size"
    "$python" "$repo/export.py" --file_format MINDIR --dynamic --lite2 --file_name "$output/aecrnet"
    model=$output/aecrnet_lite20.mindir
fi
[ -f "$model" ] || fail "MINDIR_PATH $model: no such file; write one with export.py"

program=$(bash "$repo/ascend310_infer/build.sh")

scored=()
[ -n "${DATA_TEST:-}" ] && scored=(--data_test "$DATA_TEST")
input=$data
if [ -d "$data" ] && reason=$("$python" "$repo/scripts/score.py" --dir_data "$data" "${scored[@]}" \
        --link "$output/hazy" 2>&1); then
    input=$output/hazy
elif [ -n "${DATA_TEST:-}" ]; then
    fail "${reason#error: }"
fi

for image in "$input"/*; do  # an image that fails now must not be scored by the result of an earlier run
    name=$(basename "$image")
    rm -f "$output/images/${name%.*}.png"
done
status=0
"$program" --model_path "$model" --input "$input" --output "$output/images" --device_target "$target" \
    --device_id "$device" "$@" || status=$?
[ "$status" != 2 ] || exit 2
if [ "$input" = "$data" ]; then
    echo "$data: no ground truth found, not scored; images in $output/images"
elif [ "$status" = 0 ] || compgen -G "$output/images/*.png" >/dev/null; then
    "$python" "$repo/scripts/score.py" --dir_data "$data" "${scored[@]}" --restored "$output/images" || status=1
fi
exit "$status"
