"""From rows to the bytes of a chunk, exactly those that the zarr package writes.

Its writer takes longer over a small chunk, an event loop and several tasks,
than all else takes that is made of an index; and workers that never import it
start a third of a second earlier.
"""

from __future__ import annotations

from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numcodecs.vlen import VLenUTF8

from echo_common.store.schema import ArraySpec

_LEVEL = 5


def codecs() -> list[Any]:
    """Make what declares this encoding to Zarr; imports zarr, as `encode_chunk` does not."""
    from zarr.codecs import BloscCodec, Crc32cCodec

    # LZ4 reads back faster than a disk delivers, and crc32c makes a flipped bit an error.
    return [BloscCodec(cname="lz4", clevel=_LEVEL, shuffle="noshuffle"), Crc32cCodec()]


def encode_chunk(array: ArraySpec, content: np.ndarray, rows: int) -> bytes:
    """Encode the rows of one chunk: Blosc, and a crc32c at the end.

    Parameters
    ----------
    array : ArraySpec
    content : ndarray, (row, …)
        Of the array's type; the last chunk of an array may have fewer rows than the others.
    rows : int
        Rows of a whole chunk; what is missing of them is filled up.
    """
    if array.dtype == "str":
        texts = [str(text) for text in content] + [""] * (rows - len(content))
        plain: Any = VLenUTF8().encode(np.array(texts, dtype=object))
    else:
        plain = np.ascontiguousarray(content, dtype=np.dtype(array.dtype).newbyteorder("<"))
        if len(content) < rows:
            rest = (rows - len(content), *array.shape[1:])
            plain = np.concatenate([plain, np.full(rest, fill_value(array), plain.dtype)])
    # Several threads put their blocks down in the order in which they end.
    blosc.use_threads = False
    packed: bytes = blosc.compress(plain, b"lz4", _LEVEL, blosc.NOSHUFFLE, typesize=_item(array))
    return packed + google_crc32c.value(packed).to_bytes(4, "little")


def fill_value(array: ArraySpec) -> Any:
    """What stands in an array where nothing was written."""
    return {"float32": np.nan, "str": ""}.get(array.dtype, 0)


def _item(array: ArraySpec) -> int:
    return 1 if array.dtype == "str" else np.dtype(array.dtype).itemsize
