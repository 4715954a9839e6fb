"""The commands of README.md, README_CN.md and docs/: where they stand, and which of them no test of the pages runs."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, List, Optional

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", "README_CN.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
NAMED = r"`((?:python|bash) [^`]*[^`\s])`"  # in the text

NEEDS = {  # what a command needs that the tests lack, or which test runs it: beginning of a command -> reason
    "bash scripts/run_demo.sh": "installs from the network; test_demo.py runs scripts/demo.py",
    "bash scripts/run_tests.sh": "these tests",
    "bash scripts/build_docs.sh": "installs from the network",
    "pip install": "installs from the network",
    "python train.py ... --tracker wandb": "sends to a server, and needs a login",
    "python train.py --device_target Ascend": "needs an Ascend card",
    "bash scripts/run_standalone_train.sh ITS aecrnet Ascend": "needs an Ascend card",
    "source /usr/local/Ascend/": "needs an Ascend card",
    "bash scripts/run_distribute_train.sh": "needs cards; test_the_script_trains_the_reference_graph runs it on CPU",
    "NODES=2 ": "needs two hosts",
    "python -m src.cli.launch --workers 8 eval.py": "needs eight devices; "
        "test_evaluation_shared_by_ranks_writes_the_table_of_one_process runs it with two ranks",
    "bash scripts/run_infer_310.sh": "compiles for minutes; test_script_runs_and_scores_a_test_set",
    "bash ascend310_infer/build.sh": "compiles for minutes; test_script_runs_and_scores_a_test_set",
    "ascend310_infer/build/aecrnet_infer": "needs that program; test_benchmark_reports_latency_and_memory",
    "export MSLITE_ROOT=": "names a package that is not installed",
    'python eval.py --dir_data SOTS/indoor --data_test RESIDE --iqa "lpips': "downloads weights; "
        "test_measures_with_truth_stand_beside_psnr",
    "python eval.py --data_test Photos": "downloads weights; test_photos_without_truth_get_scores_of_their_own",
    "curl -fLO https://download.mindspore.cn/": "downloads a checkpoint of the model zoo",
    "echo ": "needs that checkpoint", "python eval.py --ckpt_path aecrnet_ascend": "needs that checkpoint",
    "python train.py --ckpt_path aecrnet_ascend": "needs that checkpoint",
    "aecrnet-serve": "serves until it is stopped; test_the_command_listens_on_this_machine_alone_and_ends_at_a_signal",
    "curl --data-binary": "needs a server; test_a_photo_comes_back_dehazed",
    "curl http://127.0.0.1": "needs a server; test_the_health_page_says_what_computes",
    "docker ": "needs docker",
    "python scripts/calibrate_int8.py": "needs whole trained weights; "
        "test_the_script_measures_ranges_that_hold_the_values",
    "python infer.py holiday/ --ckpt_path ckpt/aecrnet_best.ckpt --precision int8": "needs their ranges; "
        "test_openvino_names_int8_and_computes_nearly_the_same",
    "python benchmarks/": "measures for minutes",
    "python -m src.cli.launch --workers 2 benchmarks/": "measures for minutes",
    "python -m http.server": "serves until it is stopped",
    "python scripts/convert_weights.py vgg19": "needs a download; test_torchvisions_vgg19_gives_the_golden_features",
    **dict.fromkeys(("python eval.py --dir_data SOTS5", "python eval.py --dir_data SOTS10"),
                    "the 50 images of SOTS, or some of them, are not part of the project"),
}


def blocks(page: str, language: str = "bash") -> List[str]:
    """The code of a page, block by block."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(block: str) -> Iterator[str]:
    """The commands of a block without comments. A loop of the shell is one command."""
    lines: List[str] = []
    for line in block.replace("\\\n", " ").splitlines():
        line = re.sub(r"\s+#.*", "", line).rstrip()
        lines += [line] if line else []
        text = "\n".join(lines)
        if line and len(re.findall(r"\bdo\b", text)) == len(re.findall(r"\bdone\b", text)):
            yield text
            lines = []


def named(page: str) -> List[str]:
    """The commands in the text of a page."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return [re.sub(r"\s+", " ", command) for command in re.findall(NAMED, text)]


def reason(command: str) -> Optional[str]:
    """Why the test of the pages does not run a command; None: it runs it."""
    return next((why for beginning, why in NEEDS.items() if command.startswith(beginning)), None)
