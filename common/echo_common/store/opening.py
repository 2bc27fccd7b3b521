"""Opening a store, whichever of the two kinds is at a path."""

from __future__ import annotations

from pathlib import Path

from echo_common.errors import StoreError, StoreNotFoundError
from echo_common.store.container import Container
from echo_common.store.zarr_folder import ZarrContainer


def open_container(path: Path) -> Container:
    """Open a Zarr folder or an HDF5 file for reading.

    Raises
    ------
    StoreNotFoundError
        If there is nothing at the path.
    StoreError
        If there is something else at the path.
    StoreDamagedError
        If it is an HDF5 file that does not open.
    """
    if not path.exists():
        raise StoreNotFoundError(
            f"no store at {path}; build one with: echo-prep build --store {path}"
        )
    if path.is_dir():
        return ZarrContainer(path)
    if not path.is_file():
        raise StoreError(f"{path} is not a store: it is a pipe or a device")
    # Imported here: a Zarr store is read without h5py.
    from echo_common.store.hdf5_file import Hdf5Container

    return Hdf5Container(path)
