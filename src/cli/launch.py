"""Start the ranks of a distributed run with MindSpore's msrun, watch them, and leave none behind.

    python -m src.cli.launch --workers 8 --log_dir ckpt/run/logs train.py --device_target Ascend ...
    python -m src.cli.launch --workers 8 eval.py --dir_data SOTS/indoor --data_test RESIDE

For several hosts, run the same command on each host with these environment variables: NODES (the number of hosts),
NODE_RANK (0 .. NODES - 1) and MASTER_ADDR (the address of host 0). Set MASTER_PORT if port 8118 of host 0 is in use.

The terminal shows the output of rank 0. Ctrl-C and SIGTERM ask every rank to stop after the current step; a second
signal kills the ranks. If a rank fails or is killed, all ranks of this host end within seconds. The ranks of other
hosts end in a minute (MS_NODE_TIMEOUT: 30 s without a sign of life). Exit code: 0, or that of the first failed rank.
"""
from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

from ..distributed.processes import RankProcesses
from ..errors import InputError, UsageError, one_line
from ..files import make_output_folder, path_rule
from .config import Parser
from .entry import run_as_program

DEFAULT_PORT = 8118  # msrun's
MOST_WORKERS = 1024  # no host has so many cards


class Cluster(NamedTuple):
    """The hosts of a run: `nodes` hosts, of which this is number `node_rank`. The scheduler runs on host 0."""

    nodes: int = 1
    node_rank: int = 0
    address: str = "127.0.0.1"
    port: int = DEFAULT_PORT


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = parse(sys.argv[1:] if argv is None else argv)
    cluster = read_cluster(os.environ)
    if options.rank_table:
        check_rank_table(options.rank_table, options.workers * cluster.nodes)
    logs = make_output_folder(options.log_dir, "--log_dir").resolve()
    first = cluster.node_rank * options.workers
    with RankProcesses(command(options, cluster, logs), environment(os.environ, options.workers), logs,
                       range(first, first + options.workers), cluster.node_rank) as ranks:
        return ranks.wait()


def read_cluster(variables: Mapping[str, str]) -> Cluster:
    """The hosts of the run, from NODES, NODE_RANK, MASTER_ADDR and MASTER_PORT. Without NODES there is one host.

    Raises: UsageError if a variable is missing or out of its range.
    """
    nodes = _number(variables, "NODES", 1, 1, 1 << 16)
    port = _number(variables, "MASTER_PORT", DEFAULT_PORT if nodes > 1 else _free_port(), 1024, 65535)
    if nodes == 1:
        return Cluster(port=port)
    for name in ("NODE_RANK", "MASTER_ADDR"):
        if not variables.get(name):
            raise UsageError(f"{name} must be set for NODES={nodes} (see src/cli/launch.py)")
    return Cluster(nodes, _number(variables, "NODE_RANK", 0, 0, nodes - 1), variables["MASTER_ADDR"], port)


def check_rank_table(path: str, ranks: int) -> None:
    """Raises: InputError if a rank table (Huawei's RANK_TABLE_FILE) does not list each of these ranks once."""
    try:
        servers = json.loads(Path(path).read_text())["server_list"]
        found = sorted(int(device["rank_id"]) for server in servers for device in server["device"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--rank_table {path}: must be JSON with the rank_id of each device of the server_list "
                         f"({one_line(error)})") from None
    if found != list(range(ranks)):
        raise InputError(f"--rank_table {path}: must list the ranks 0 to {ranks - 1} once each, "
                         f"not {' '.join(map(str, found))[:80] or 'none'}")


def command(options: argparse.Namespace, cluster: Cluster, logs: Path) -> List[str]:
    """The command line of msrun."""
    table = [f"--rank_table_file={Path(options.rank_table).resolve()}"] if options.rank_table else []
    return [
        sys.executable, "-m", "mindspore.parallel.cluster.run", f"--worker_num={options.workers * cluster.nodes}",
        f"--local_worker_num={options.workers}", f"--master_addr={cluster.address}", f"--master_port={cluster.port}",
        f"--node_rank={cluster.node_rank}", f"--log_dir={logs}", "--join=True",
        "--tail_worker_log=-2",  # show no rank: msrun's `tail` processes would show all ranks and survive a kill
        *table, "python3", options.script, *options.arguments]


def environment(variables: Mapping[str, str], workers: int) -> Dict[str, str]:
    """The environment of msrun: the user's variables, this Python first on PATH, an equal share of the processors."""
    result = {"MS_NODE_TIMEOUT": "30", "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers)), **variables}
    # msrun starts the first `python3` on PATH
    result["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", os.defpath)])
    result["PYTHONUNBUFFERED"] = "1"
    return result


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog=f"python -m {__package__}.launch", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, required=True, help="ranks on this host, one a card")
    parser.add_argument("--log_dir", default="output/logs",
                        help="folder for the logs of all ranks (default: %(default)s)")
    parser.add_argument("--rank_table", default="", help="RANK_TABLE_FILE of an Ascend set-up, handed on to the ranks")
    parser.add_argument("script", help="train.py or eval.py")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its flags")
    options = parser.parse_args(argv)
    if not 1 <= options.workers <= MOST_WORKERS:
        raise UsageError(f"--workers must be from 1 to {MOST_WORKERS}, not {options.workers}")
    for name in ("log_dir", "script"):
        if rule := path_rule(getattr(options, name)):
            raise UsageError(f"{'--' * (name == 'log_dir')}{name} {rule}")
    if options.rank_table and not Path(options.rank_table).is_file():
        raise UsageError(f"--rank_table {options.rank_table}: no such file")
    return options


def _number(variables: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = variables.get(name) or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise UsageError(f"{name} must be a number from {least} to {most}, not {text}")
    return int(text)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run() -> None:
    """`python -m src.cli.launch`."""
    run_as_program(main)


if __name__ == "__main__":
    run()
