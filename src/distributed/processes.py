"""The processes of a distributed run on this host. They are watched, stopped and killed together."""
from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

import psutil

from .signals import STOP_RANK, end_with_parent, said_done

POLL = 0.2  # seconds
STOP_SECONDS = 300  # time for the ranks to finish the current step and save after a signal
FAILED = re.compile(r"Worker process (\d+) exit with exception\. Error code: (-?\d+)")  # in the log of msrun
CHATTER = re.compile(r"\[(WARNING|INFO)\] \w+\(\d+.*")  # MindSpore's log lines, which the terminal does not show


class RankProcesses:
    """msrun, the scheduler and the ranks of this host.

    Use it as a context manager. When the context ends, all of these processes have ended, in any case.

    Args:
        command, environment: of msrun.
        logs: folder of the log files. msrun writes worker_RANK.log and scheduler.log there. msrun_NODE.log gets the
            output of msrun itself.
        ranks: numbers of the ranks on this host.
        node_rank: number of this host.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], logs: Path, ranks: Sequence[int],
                 node_rank: int = 0):
        self._command, self._environment, self._logs = command, environment, logs
        self._rank_logs = {rank: logs / f"worker_{rank}.log" for rank in ranks}
        self._msrun_log = logs / f"msrun_{node_rank}.log"
        self._processes: Dict[str, psutil.Process] = {}  # "scheduler" or a rank's number -> process
        self._asked: List[str] = []  # names of the ranks that got STOP_RANK
        self._signals: List[int] = []
        self._stop_at = float("inf")

    def __enter__(self) -> RankProcesses:
        for path in (*self._rank_logs.values(), self._msrun_log):
            path.unlink(missing_ok=True)  # the log of an earlier run
        self._shown = _Follower(self._rank_logs[0]) if 0 in self._rank_logs else None
        self._before = {number: signal.signal(number, self._note_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        with open(self._msrun_log, "wb") as log:
            # A new session keeps Ctrl-C from the ranks. This process receives it and passes it on.
            self._msrun = subprocess.Popen(
                self._command, env=dict(self._environment), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=lambda: end_with_parent(signal.SIGKILL))
        return self

    def __exit__(self, *_) -> None:
        self._kill()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self) -> int:
        """Wait until all processes have ended. If one fails, kill the others. Returns: the exit code."""
        while self._msrun.poll() is None and self._failure() is None and not self._overdue():
            self._find_processes()
            self._pass_on_signals()
            self._show()
            time.sleep(POLL)
        self._show()
        if self._msrun.poll() == 0:
            return 0
        failure = self._failure()
        self._kill()
        self._show()
        if all(said_done(_text(path)) == 0 for path in self._rank_logs.values()):
            return 0  # the failure is a crash of MindSpore at its own end
        return self._explain(failure)

    def _note_signal(self, number, frame) -> None:
        self._signals.append(number)
        os.write(2, b"\nstopping all ranks after this step; once more kills them\n")  # print is not safe here

    def _find_processes(self) -> None:
        """Note the processes that msrun has started."""
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self._msrun.pid).children():
                variables = process.environ()
                role = variables.get("MS_ROLE")  # missing between fork and exec
                if role:
                    self._processes.setdefault("scheduler" if role == "MS_SCHED" else variables["RANK_ID"], process)

    def _pass_on_signals(self) -> None:
        if not self._signals:
            return
        self._stop_at = min(self._stop_at, time.monotonic() + STOP_SECONDS)
        for name, process in self._processes.items():
            if name not in self._asked and name != "scheduler":
                self._asked.append(name)
                with contextlib.suppress(psutil.Error):
                    process.send_signal(STOP_RANK)

    def _overdue(self) -> bool:
        """Whether waiting has no use any more."""
        if len(self._signals) > 1 or time.monotonic() > self._stop_at:
            return True
        # A scheduler that has ended is no fault by itself: it ends first in a good run too. Its log tells.
        scheduler = self._processes.get("scheduler")
        return bool(scheduler and not _is_alive(scheduler) and first_error(self._logs / "scheduler.log"))

    def _failure(self) -> Optional[re.Match]:
        """The line in which msrun reports a failed rank."""
        return FAILED.search(_text(self._msrun_log))

    def _show(self) -> None:
        if self._shown:
            self._shown.show()

    def _kill(self) -> None:
        """Kill all processes that are still alive, and wait until they have ended."""
        self._find_processes()
        with contextlib.suppress(ProcessLookupError):
            self._msrun.kill()
        self._msrun.wait()
        for process in self._processes.values():
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(self._processes.values(), timeout=10)

    def _explain(self, failure: Optional[re.Match]) -> int:
        """Print why the run failed. Returns: the exit code."""
        where = f"all ranks of this host are stopped, their logs are in {self._logs}"
        if self._signals and self._failed_rank(failure)[1] == 128 + STOP_RANK:
            return 128 + self._signals[-1]  # the rank has printed a message
        if self._signals:
            print(f"stopped by {signal.Signals(self._signals[-1]).name} before the ranks could save; {where}",
                  file=sys.stderr)
            return 128 + self._signals[-1]
        shown = first_error(self._rank_logs[0]) if self._shown else ""
        scheduler = {"the scheduler": self._logs / "scheduler.log"} if "scheduler" in self._processes else {}
        for name, path in {**{f"rank {rank}": path for rank, path in self._rank_logs.items()}, **scheduler}.items():
            text = first_error(path)
            if text and text != shown:
                shown = text
                print(f"{name}: {text}", file=sys.stderr)
        name, code = self._failed_rank(failure)
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = ", by MindSpore if it has lost the ranks of another host" if code == -signal.SIGTERM else ""
        print(f"error: {name} {ended}{hint}; {where}", file=sys.stderr)
        return 128 - code if code < 0 else code

    def _failed_rank(self, failure: Optional[re.Match]):
        """Name and exit code of the process that failed."""
        if failure:
            pid, code = map(int, failure.groups())
            ranks = [name for name, process in self._processes.items() if process.pid == pid]
            return f"rank {ranks[0]}" if ranks else "a rank", code
        return ("the scheduler" if "scheduler" in self._processes else "msrun"), 1


def first_error(path: Path) -> str:
    """The first line `error: ...` of a log, else the last line of its first traceback, else an empty text."""
    lines = _text(path).replace("\r", "\n").splitlines()
    said = [line for line in lines if line.startswith("error: ")]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
    return (said or raised or [""])[0]


class _Follower:
    """Prints the new lines of a growing log. A carriage return ends a line too, so progress bars move."""

    def __init__(self, path: Path):
        self._path, self._position, self._rest = path, 0, ""

    def show(self) -> None:
        with contextlib.suppress(OSError), open(self._path, "rb") as file:
            file.seek(self._position)
            data = file.read()
            self._position += len(data)
            *lines, self._rest = re.split(r"(?<=[\r\n])", self._rest + data.decode(errors="replace"))
            # after a progress bar MindSpore's log begins in the middle of a line
            sys.stdout.write("".join(CHATTER.sub("", line) for line in lines if not CHATTER.match(line)))
            sys.stdout.flush()


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
