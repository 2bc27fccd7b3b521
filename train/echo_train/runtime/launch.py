"""Several processes of one machine that train together, as `torchrun` starts them.

`echo-train --processes` starts them here, since torchrun ends with a traceback of its
own if one of them fails.
"""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from echo_common.cli.start import INTERRUPTED


def launch(count: int, module: str, arguments: Sequence[str]) -> int:
    """Run a module in several processes, and end all of them if one fails.

    Returns the exit code of the first process that failed; 0 if none did.

    Parameters
    ----------
    module : str
        What each process runs; its environment is that of torchrun.
    """
    # Without a limit each process would take all cores, and they would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    # The processes print their own messages.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 1
    except (SignalException, KeyboardInterrupt):
        return INTERRUPTED
    return 0
