"""Score a checkpoint on hazy images with ground truth.

    python eval.py
    python eval.py --dir_data ./dataset --data_test Dense --ckpt_path ckpt/aecrnet_best.ckpt
    python eval.py --dir_data SOTS/indoor --data_test RESIDE --save_images --report
    python eval.py --mindir_path aecrnet.mindir
    python -m src.cli.launch --workers 8 eval.py --device_target Ascend --dir_data SOTS/indoor --data_test RESIDE

The first command scores checkpoints/aecrnet.ckpt on hazed photos from scikit-image. The last command shares the images
among eight cards. Each command writes metrics.csv (one row for each image, as they come) and summary.json to
--output_dir. After Ctrl-C or a crash, the same command with --resume goes on.
"""
from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import List, Optional, Tuple

from ..data.demo import write_demo_set
from ..data.pairs import PAIR_LAYOUTS, Pair, data_folder, find_pairs, images_in, unused_files
from ..dehaze.dehazer import BENCHMARK_CHECKPOINT
from ..distributed.signals import is_distributed
from ..errors import UsageError
from ..evaluate.evaluation import Evaluation
from ..evaluate.iqa import open_measures
from ..evaluate.no_reference import score_photos
from ..files import make_output_folder
from ..spec import FASTEST, MINDSPORE
from . import config
from .dehazer_options import check_options, open_dehazer

SECTIONS = ("device", "inference", "eval", "cloud")


def main(argv: Optional[List[str]] = None) -> int:
    options = config.parse(sys.argv[1:] if argv is None else argv, SECTIONS, __doc__.splitlines()[0])
    if not options.mindir_path:
        options.ckpt_path = options.ckpt_path or str(BENCHMARK_CHECKPOINT)
    if options.runtime == FASTEST:
        options.runtime = MINDSPORE  # the reference
    check_options(options, options.mindir_path)
    if options.resume and options.report:
        raise UsageError("--report: needs the pictures of all images, leave out --resume")
    if options.data_test not in (*PAIR_LAYOUTS, "Demo", "Photos"):
        raise UsageError(f"--data_test must be one of {', '.join(PAIR_LAYOUTS)}, Demo, Photos, not {options.data_test}")
    if options.data_test == "Photos":
        return score_without_truth(options)
    measures = open_measures(options.iqa.split() if "iqa" in options.given else (), with_truth=True)
    warnings.filterwarnings("ignore", module="PIL")  # damage that matters raises an InputError
    output = make_output_folder(options.output_dir, "--output_dir")
    pairs, unmatched = find_test_set(options, output)

    # This import loads MindSpore, so flags and folders are checked first.
    from ..device import select_device
    from ..distributed.ranks import join_ranks

    select_device(options.device_target, options.device_id)
    ranks = join_ranks()
    dehazer = open_dehazer(options, options.mindir_path)
    if ranks.rank == 0:
        print(f"computed by {dehazer.network.description['runtime']}")
    evaluation = Evaluation(options, output, dehazer, pairs, ranks, measures)
    evaluation.start()
    evaluation.run()
    if ranks.rank == 0:
        if unused := unused_files([*pairs, *(Pair(path.stem, path, path) for path in unmatched)]):
            print(f"note: not scored: {unused}", file=sys.stderr)
        for path in unmatched:
            print(f"error: {path}: no ground truth", file=sys.stderr)
        evaluation.write(unmatched)
    if evaluation.stopped:
        ranks.any(True)  # wait until rank 0 has written, because the first failed rank ends all others
        raise evaluation.stopped
    if ranks.rank > 0:
        return 0

    faults = len(evaluation.failures) + len(unmatched)
    if faults:
        print(f"error: {faults} of {len(pairs) + len(unmatched)} images could not be scored, named above",
              file=sys.stderr)
    return 1 if faults else 0


def score_without_truth(options: SimpleNamespace) -> int:
    """Score photos without ground truth. Returns: the exit code."""
    for flag in ("report", "resume"):
        if getattr(options, flag):
            raise UsageError(f"--{flag}: needs ground truth, not --data_test Photos")
    if is_distributed():
        raise UsageError("--data_test Photos: is scored by one process, not by several ranks")
    measures = open_measures(options.iqa.split(), with_truth=False)
    photos = images_in(data_folder(options.dir_data, "Photos", train=False), recursive=True)
    output = make_output_folder(options.output_dir, "--output_dir")
    from ..device import select_device  # loads MindSpore

    select_device(options.device_target, options.device_id)
    failed = score_photos(photos, open_dehazer(options, options.mindir_path), measures, output, options.max_pixels,
                          options.save_images)
    if failed:
        print(f"error: {failed} of {len(photos)} photos could not be scored, named above", file=sys.stderr)
    return 1 if failed else 0


def find_test_set(options: SimpleNamespace, output: Path) -> Tuple[List[Pair], List[Path]]:
    """The pairs to score, and the hazy images without ground truth."""
    if options.modelArts_mode:
        from . import cloud

        cloud.download(options)
    if options.data_test != "Demo":
        return find_pairs(options.dir_data, options.data_test)
    if "dir_data" in options.given:
        raise UsageError(f"--dir_data {options.dir_data}: needs --data_test, the layout of its images")
    return find_pairs(write_demo_set(make_output_folder(output / "demo_data", "--output_dir")), "Pairs")
