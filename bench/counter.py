"""A count that one process raises and another reads: eight bytes of a file both have mapped."""

import mmap
import struct
from pathlib import Path

_FORMAT = struct.Struct("<q")


class Counter:
    """Starts at zero when the file is new. One writer; a reader may be a step behind."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_FORMAT.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _FORMAT.size)

    @property
    def value(self) -> int:
        count: int = _FORMAT.unpack_from(self._map)[0]
        return count

    def add(self, count: int = 1) -> None:
        _FORMAT.pack_into(self._map, 0, self.value + count)
