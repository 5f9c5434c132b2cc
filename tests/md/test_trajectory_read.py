"""DCD files are read as they were written, and damaged ones refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.md.trajectory import DCDWriter
from consilience.md.trajectory_read import is_dcd, parse_dcd, read_dcd


@pytest.mark.parametrize("cell", [None, 7 * np.eye(3)], ids=["molecule", "cell"])
def test_what_was_written_is_read(tmp_path: Path, cell: np.ndarray | None) -> None:
    x = np.random.default_rng(0).normal(0, 5, (4, 3, 3))
    with DCDWriter(tmp_path / "a.dcd", 3, dt=0.5, every=4, cell=cell) as out:
        out.write(x)
    found = read_dcd(tmp_path / "a.dcd")
    np.testing.assert_allclose(found.positions, x.astype("f4"))
    assert found.frame_fs == pytest.approx(2.0, rel=1e-5) and found.every == 4
    data = (tmp_path / "a.dcd").read_bytes()
    for damaged, message in ((data[:-5], "cut short"), (data[:80] + data[84:], "no DCD|damaged|cut short|fixed")):
        with pytest.raises(InputError, match=message):
            parse_dcd(damaged, "a.dcd")
    broken = bytearray(data)
    broken[-8:-4] = np.float32(np.nan).tobytes()
    with pytest.raises(InputError, match=r"damaged[\s\S]*frame 3"):
        parse_dcd(bytes(broken), "a.dcd")
    assert not is_dcd(b"x" * 200)


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    import struct

    def record(b: bytes) -> bytes:
        return struct.pack(">i", len(b)) + b + struct.pack(">i", len(b))

    head = (
        b"CORD"
        + struct.pack(">9i", 1, 0, 10, 0, 0, 0, 0, 0, 0)
        + struct.pack(">f", 0.04)
        + struct.pack(">10i", *[0] * 10)
    )
    x = np.arange(6.0).reshape(2, 3)
    axes = b"".join(record(x[:, k].astype(">f4").tobytes()) for k in range(3))
    data = record(head) + record(struct.pack(">i", 1) + b" " * 80) + record(struct.pack(">i", 2)) + axes
    found = parse_dcd(data, "big.dcd")
    np.testing.assert_allclose(found.positions, x[None])
    assert found.frame_fs == pytest.approx(0.04 * 48.88821 * 10, rel=1e-5)
