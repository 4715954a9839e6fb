"""src/cli/launch.py and a rank table, the file with which an Ascend set-up says which card has which rank."""
import json
import os
import subprocess
import sys

import pytest

from src.cli import launch
from src.errors import InputError
from training import ENVIRONMENT, ROOT


def write_table(path, *ranks):
    """A table of one host, as hccl_tools writes it. Returns: path."""
    devices = [{"device_id": str(card), "device_ip": f"192.0.2.{card}", "rank_id": rank}
               for card, rank in enumerate(ranks)]
    path.write_text(json.dumps({
        "version": "1.0", "server_count": "1", "status": "completed",
        "server_list": [{"server_id": "192.0.2.100", "device": devices, "host_nic_ip": "reserve"}]}))
    return path


@pytest.mark.parametrize("text, said", [
    ("", "must be JSON with the rank_id of each device of the server_list (Expecting value"),
    ("{}", "must be JSON with the rank_id of each device of the server_list ('server_list')"),
    ('{"server_list": [{"device": [{"device_id": "0"}]}]}', "('rank_id')"),
    ('{"server_list": [{"device": [{"rank_id": "zero"}]}]}', "(invalid literal for int()"),
    ('{"server_list": ["10.0.0.1"]}', "(string indices must be integers"),
    ('{"server_list": []}', "must list the ranks 0 to 1 once each, not none"),
])
def test_a_file_that_is_no_rank_table_is_one_line(text, said, tmp_path):
    path = tmp_path / "hccl.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        launch.check_rank_table(str(path), 2)
    assert str(error.value).startswith(f"--rank_table {path}: ") and said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ranks", [["0"], ["0", "0"], ["0", "1", "2"], ["1", "2"]])
def test_a_rank_table_of_other_ranks_is_refused(ranks, tmp_path):
    launch.check_rank_table(str(write_table(tmp_path / "hccl.json", "1", "0")), 2)
    with pytest.raises(InputError, match=f"must list the ranks 0 to 1 once each, not {' '.join(ranks)}$"):
        launch.check_rank_table(str(write_table(tmp_path / "hccl.json", *ranks)), 2)


def launched(*arguments, **variables):
    return subprocess.run(arguments, cwd=ROOT, env={**ENVIRONMENT, **variables}, capture_output=True, text=True,
                          timeout=300)


@pytest.mark.slow
def test_the_ranks_get_the_rank_table(tmp_path):
    table, script = write_table(tmp_path / "hccl.json", "0", "1"), tmp_path / "rank.py"
    script.write_text("from os import environ\nprint(*map(environ.get, ('RANK_TABLE_FILE', 'RANK_ID', 'RANK_SIZE')))")
    done = launched(sys.executable, "-m", "src.cli.launch", "--workers=2", f"--log_dir={tmp_path / 'logs'}",
                    f"--rank_table={os.path.relpath(table, ROOT)}", str(script))
    assert done.returncode == 0, done.stdout + done.stderr
    for rank in (0, 1):
        assert f"{table} {rank} 2" in (tmp_path / f"logs/worker_{rank}.log").read_text()


@pytest.mark.slow
def test_the_script_refuses_a_rank_table_of_other_ranks(tmp_path):
    table = write_table(tmp_path / "hccl.json", "0")
    done = launched("bash", "scripts/run_distribute_train.sh", str(tmp_path), "run", "2", str(table),
                    LOG_DIR=str(tmp_path / "logs"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: --rank_table {table}: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "logs").exists()
