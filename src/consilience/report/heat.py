"""Heat maps: plotly's basic bundle has none, so the cells travel as a small PNG behind an invisible set of points."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from consilience.report.figures import DIVERGING, SEQUENTIAL, layout_of, scatter
from consilience.report.page import Plot


def heat(
    id: str,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    z: np.ndarray,
    *,
    x_title: str,
    y_title: str,
    z_title: str,
    caption: str = "",
    title: str = "",
    z_range: tuple[float, float] | None = None,
    diverging: bool = False,
    faint: bool = False,
    points: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]] | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Plot:
    """A picture of z (len(y), len(x)) on evenly spaced x and y; NaN is left blank; `diverging`: white at the middle.

    `faint`: a pale single-hue background without a scale, for the `points` (name: (x, y), hover text in `labels`)
    on top of it, as in a Ramachandran plot.
    """
    x, y, z = np.asarray(x, float), np.asarray(y, float), np.asarray(z, float)
    if z.shape != (len(y), len(x)) or len(x) < 2 or len(y) < 2:
        raise ValueError(f"heat map of shape {z.shape} needs z (len(y), len(x)), both at least 2: {len(y)}, {len(x)}")
    finite = z[np.isfinite(z)]
    low, high = z_range or ((float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0))
    if diverging and z_range is None:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    high = high if high > low else low + 1.0
    scale = DIVERGING if diverging else SEQUENTIAL
    dx, dy = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    x0, x1, y0, y1 = x[0] - dx / 2, x[-1] + dx / 2, y[0] - dy / 2, y[-1] + dy / 2
    gx, gy = np.meshgrid(x, y)
    cells = {
        "type": "scatter",
        "mode": "markers",
        "name": z_title,
        "x": gx.ravel(),
        "y": gy.ravel(),
        "showlegend": False,
        "marker": {
            "color": z.ravel(),
            "opacity": 0,
            "size": 8,
            "cmin": low,
            "cmax": high,
            "colorscale": [list(s) for s in scale],
            "showscale": not faint,
            "colorbar": {"title": {"text": z_title, "side": "right"}, "thickness": 12, "outlinewidth": 0, "opacity": 1},
        },
        "hovertemplate": "%{x:.4~g}, %{y:.4~g}: %{marker.color:.4~g}<extra></extra>",
    }
    layout = layout_of(x_title, y_title, (x0, x1), (y0, y1))
    layout["xaxis"]["showgrid"] = layout["yaxis"]["showgrid"] = False
    for axis, span in ((layout["xaxis"], x1 - x0), (layout["yaxis"], y1 - y0)):
        if 350 <= span <= 370:  # a full turn in degrees
            axis |= {"tick0": 0, "dtick": 90}
    png = _png(z[::-1], low, high, scale, faint)
    layout["images"] = [
        {
            "source": "data:image/png;base64," + base64.b64encode(png).decode("ascii"),
            "xref": "x",
            "yref": "y",
            "x": x0,
            "y": y1,
            "sizex": x1 - x0,
            "sizey": y1 - y0,
            "sizing": "stretch",
            "layer": "below",
        }
    ]
    if not points:
        return Plot(id, (cells,), layout, caption, title=title)
    over = scatter(id, points, x_title=x_title, y_title=y_title, labels=labels)
    return Plot(id, over.traces if faint else (cells, *over.traces), layout, caption, title=title)


def _png(z: np.ndarray, low: float, high: float, scale: Sequence[tuple[float, str]], faint: bool) -> bytes:
    """An RGBA PNG of z (rows from top), coloured between the stops of `scale`; `faint`: one blue, opacity by value."""
    t = np.clip((z - low) / (high - low), 0.0, 1.0)
    stops = [s for s, _ in scale]
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for _, c in scale])
    pixels = np.zeros((*z.shape, 4), np.uint8)
    for channel in range(3):
        pixels[..., channel] = np.rint(np.interp(np.nan_to_num(t), stops, rgb[:, channel]))
    pixels[..., 3] = np.where(np.isfinite(z), 255, 0)
    if faint:
        pixels[..., :3] = (64, 140, 200)
        pixels[..., 3] = np.rint(150 * np.sqrt(np.nan_to_num(t)))
    raw = np.concatenate([np.zeros((len(z), 1), np.uint8), pixels.reshape(len(z), -1)], axis=1).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", z.shape[1], z.shape[0], 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
