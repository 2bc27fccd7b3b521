"""What holds a store's arrays: a folder of Zarr v3, or one HDF5 file. Reading only.

`EchoStore` reads through these, and so does `echo-prep`. Both give the bytes
of a chunk as they lie on the disk, so that one check, the digest in the
manifest, serves both, and both decode outside the interpreter's lock, so that
threads share the work.
"""

from __future__ import annotations

from pathlib import Path

from echo_common.errors import StoreNotFoundError
from echo_common.store.container import Container
from echo_common.store.zarr_folder import ZarrContainer


def open_container(path: Path) -> Container:
    """Open what a store's name says it is.

    Raises
    ------
    StoreNotFoundError
        If there is nothing at the path.
    StoreError
        If what is there is no store.
    StoreDamagedError
        If it is an HDF5 file that does not open.
    """
    if not path.exists():
        raise StoreNotFoundError(
            f"no store at {path}; build one with: echo-prep build --store {path}"
        )
    if path.is_dir():
        return ZarrContainer(path)
    # Imported where used: a Zarr store is read without it.
    from echo_common.store.hdf5_file import Hdf5Container

    return Hdf5Container(path)
