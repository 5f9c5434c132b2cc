"""The constructors of plots: traces, axis titles, colours and pictures."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import pytest

from consilience.report import figures
from consilience.report.heat import heat


def pixels(plot) -> np.ndarray:
    raw = base64.b64decode(plot.layout["images"][0]["source"].split(",")[1])
    width, height = struct.unpack(">II", raw[16:24])
    start = raw.index(b"IDAT")
    (length,) = struct.unpack(">I", raw[start - 4 : start])
    rows = np.frombuffer(zlib.decompress(raw[start + 4 : start + 4 + length]), np.uint8).reshape(height, -1)
    return rows[:, 1:].reshape(height, width, 4)


def test_lines_differ_in_more_than_colour():
    plot = figures.line("a", [1, 2], {"x": [1, 2], "y": [2, 3]}, x_title="t / s", y_title="v", errors={"y": [0.1, 0.1]})
    first, second = plot.traces
    assert first["line"]["color"] != second["line"]["color"] and first["line"]["dash"] != second["line"]["dash"]
    assert plot.layout["xaxis"]["title"]["text"] == "t / s"
    assert "error_y" not in first and second["error_y"]["array"] == [0.1, 0.1]
    assert all(t["line"]["color"] in figures.PALETTE for t in plot.traces)


def test_log_range_is_given_in_the_data_s_unit():
    plot = figures.line("a", [1], {"x": [1]}, x_title="x", y_title="y", log_y=True, y_range=(0.1, 1000))
    assert plot.layout["yaxis"]["range"] == [-1, 3]


def test_heat_picture_has_the_first_row_at_the_bottom_and_blanks():
    z = np.array([[0.0, 1.0], [np.nan, 0.5]])
    plot = heat("a", [0, 1], [0, 1], z, x_title="x", y_title="y", z_title="z")
    image = pixels(plot)
    dark, light = (tuple(bytes.fromhex(figures.SEQUENTIAL[i][1][1:])) for i in (0, -1))
    assert tuple(image[1, 0, :3]) == dark and tuple(image[1, 1, :3]) == light
    assert image[0, 0, 3] == 0 and image[0, 1, 3] == 255
    assert plot.layout["xaxis"]["range"] == [-0.5, 1.5]


def test_heat_refuses_a_wrong_shape():
    with pytest.raises(ValueError, match="heat map"):
        heat("a", [0, 1, 2], [0, 1], np.zeros((3, 2)), x_title="x", y_title="y", z_title="z")


def test_faint_heat_is_transparent_where_nothing_is():
    plot = heat(
        "a", [0, 1], [0, 1], np.eye(2), x_title="x", y_title="y", z_title="z", faint=True, points={"p": ([0], [1])}
    )
    assert pixels(plot)[0, 0, 3] == 0 and pixels(plot)[0, 1, 3] > 100
    assert [t["name"] for t in plot.traces] == ["p"]


def test_resolution_axis_reads_in_angstrom():
    plot = figures.over_resolution(figures.line("a", [1 / 25, 1 / 4], {"R": [0.1, 0.2]}, x_title="1/d²", y_title="R"))
    axis = plot.layout["xaxis"]
    assert axis["title"]["text"] == "resolution / Å"
    assert {"5", "3", "2"} & set(axis["ticktext"])
    assert np.allclose([1 / float(t) ** 2 for t in axis["ticktext"]], axis["tickvals"])
    assert np.all(np.diff(axis["tickvals"]) > 0)


def test_histogram_counts_every_finite_value():
    values = np.append(np.random.default_rng(0).normal(size=200), [np.nan, np.inf])
    plot = figures.histogram("a", {"v": values}, x_title="v", bins=7)
    assert plot.traces[0]["y"].sum() == 200 and len(plot.traces[0]["x"]) == 7


def test_band_keeps_earlier_shapes():
    plot = figures.scatter("a", {"p": ([0, 1], [0, 1])}, x_title="x", y_title="y", diagonal=True)
    shapes = figures.with_band(plot, 0.2, 0.4).layout["shapes"]
    assert [s["type"] for s in shapes] == ["line", "rect"] and shapes[1]["y0"] == 0.2
