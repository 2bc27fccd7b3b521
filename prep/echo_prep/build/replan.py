"""The rows of a data set: from its CSV files, or from a store that was made from the same ones."""

from __future__ import annotations

import numpy as np

from echo_common.errors import EchoError
from echo_common.store.reader import EchoStore
from echo_prep.build.plan import Plan, make_plan
from echo_prep.build.stages import INDEX, index_columns, index_stage
from echo_prep.dataset.echonet_dynamic import fingerprint, read_dataset
from echo_prep.dataset.rejects import Reject
from echo_prep.settings import BuildSettings
from echo_prep.store.integrity import Survey


def find_plan(settings: BuildSettings, held: Survey) -> Plan:
    """Fix the rows of a store.

    To read and check both CSV files takes longer than to make another
    method's masks, so where a store was made from these very files its own
    rows are taken.

    Parameters
    ----------
    settings : BuildSettings
    held : Survey
        What stands at the store's path.

    Raises
    ------
    DataNotFoundError, DataError
        As of `echo_prep.dataset.echonet_dynamic.read_dataset` and `echo_prep.build.plan.make_plan`.
    """
    return _stored_plan(settings, held) or make_plan(read_dataset(settings.data))


def _stored_plan(settings: BuildSettings, held: Survey) -> Plan | None:
    index = next((one for one in held.manifests.values() if one.stage == INDEX), None)
    try:
        if index is None or held.attributes.get("fingerprint") != fingerprint(settings.data):
            return None
        plan = _read_plan(EchoStore(settings.target()), tuple(index.parameters["shape"]))
    except (OSError, EchoError, KeyError, TypeError):
        # Whatever is wrong with it, the files say it again.
        return None
    # The key holds a digest of all rows, and the version of the code that fixed them.
    return plan if index_stage(plan).key == index.key else None


def _read_plan(store: EchoStore, shape: tuple[int, int]) -> Plan:
    columns = {name: store.read(path) for name, path in index_columns().items()}
    columns["video"] = np.array([str(name) for name in columns["video"]], dtype=object)
    return Plan(
        **columns,
        shape=shape,
        rejects=tuple(Reject(**reject) for reject in store.attributes["rejects"]),
        traced=store.attributes["traced"],
        fingerprint=store.attributes["fingerprint"],
    )
