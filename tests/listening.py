"""The program of a rank in tests/test_distributed.py. Rank 0 prints where the processes of its run listen.

    python -m src.cli.launch --workers 2 --log_dir LOGS tests/listening.py
"""

import psutil

from src.device import select_device
from src.distributed.ranks import join_ranks

select_device("CPU")
ranks = join_ranks()
ranks.any(False)  # now every rank has opened what it needs
if ranks.rank == 0:
    launcher = psutil.Process().parents()[1]
    own = {process.pid for process in (launcher, *launcher.children(recursive=True))}
    for one in psutil.net_connections("inet"):
        if one.pid in own and one.status == psutil.CONN_LISTEN:
            print("listens:", one.laddr.ip, flush=True)
ranks.any(False)
