"""The HTML of a report: escaped, self-contained, strict JSON, within its size, and written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest

from consilience.report import figures, render
from consilience.report.page import Arrow, Card, Goto, Map, Page, Plot, Row, Section, Table, Viewer, format_value
from consilience.report.render import render_page, write_page
from consilience.report.volume import crop_map


class Reader(HTMLParser):
    """Collects the tags with attributes, the content of scripts, and the visible text."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.in_script = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.in_script = True
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self.in_script = False

    def handle_data(self, data):
        if self.in_script:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        else:
            self.text += data


@pytest.fixture(scope="module")
def html(fake_page) -> str:
    return render_page(fake_page)


@pytest.fixture(scope="module")
def reader(html) -> Reader:
    return Reader(html)


def data_of(reader: Reader) -> dict:
    (text,) = [t for attrs, t in reader.scripts if attrs.get("type") == "application/json"]

    def refuse(constant):
        raise AssertionError(f"{constant} in the JSON of the page")

    return json.loads(text, parse_constant=refuse)


def test_hostile_text_stays_text(html, reader, fake_page):
    assert [t for t, _ in reader.tags].count("script") == 7  # boot, data, plotly, 3Dmol, mesh, viewer, page
    assert not [t for t, _ in reader.tags if t in ("img", "iframe", "link", "object", "embed", "base", "form")]
    assert not [a for _, attrs in reader.tags for a in attrs if a.startswith("on")]
    assert reader.text.count(fake_page.title) > 10
    data = data_of(reader)
    assert "<img" not in json.dumps(data["plots"]) and "&lt;img" in json.dumps(data["plots"])
    json_text = html.split('id="page-data">')[1].split("</script>")[0]
    assert not set("<>&") & set(json_text) and json_text.isascii()


def test_the_policy_allows_only_the_scripts_of_the_page(reader):
    (policy,) = [a["content"] for t, a in reader.tags if t == "meta" and a.get("http-equiv")]
    allowed = set(re.findall(r"'(sha256-[^']+)'", policy.split("script-src")[1].split(";")[0]))
    running = [t for attrs, t in reader.scripts if attrs.get("type") != "application/json"]
    hashes = {"sha256-" + base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in running}
    assert hashes == allowed
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


def test_nothing_is_loaded_from_outside(reader):
    for tag, attrs in reader.tags:
        assert "src" not in attrs, tag
        assert attrs.get("href", "#").startswith("#"), (tag, attrs)


def test_every_plot_has_a_table_and_labels(reader, fake_page):
    plots = [a for t, a in reader.tags if t == "div" and a.get("class") == "plot"]
    assert len(plots) == 4 and all(a["role"] == "img" and a["aria-label"] for a in plots)
    assert sum(t == "details" and a.get("class") == "data" for t, a in reader.tags) == 4
    ids = [a["id"] for _, a in reader.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for t, a in reader.tags if t == "a"]
    assert set(targets) <= set(ids)
    assert sum(t == "h1" for t, _ in reader.tags) == 1


def test_numbers_that_are_not_finite_become_gaps_and_dashes(reader):
    data = data_of(reader)
    assert data["plots"][0]["traces"][1]["y"][3] is None
    assert "nan" not in reader.text.lower()
    assert "–" in reader.text


def test_size_within_four_megabytes_with_the_worst_maps(helix, cell):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(80, 72, 88))
    coords = rng.uniform(0, 45, (400, 3))
    volume = crop_map(noise, coords, cell)
    pdb = helix.make_pdb_string()
    many = "".join(f"{line[:6]}{rng.integers(99999):5d}{line[11:]}\n" for line in pdb.splitlines() * 60)
    curve = figures.line("r", range(50), {"a": rng.normal(size=50)}, x_title="x", y_title="y")
    viewer = Viewer(many, maps=(Map(volume, (1.5,), "#3f7fd0", "a"), Map(volume, (3.0, -3.0), "#3f7fd0", "b")))
    assert len(volume.packed()) > 300_000
    assert len(render_page(Page("x", sections=(Section("s", "", (curve, viewer)),))).encode()) < 4_000_000


def test_a_page_without_plots_or_model_carries_no_libraries(tmp_path):
    size = write_page(tmp_path / "small.html", Page("Small", cards=(Card("a", 1),)))
    assert size == (tmp_path / "small.html").stat().st_size < 60_000


def test_write_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_page(path, Page("first"))
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_page(path, Page("second"))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["report.html"]


@pytest.mark.parametrize(
    ("blocks", "match"),
    [
        ((Plot("a", ()), Plot("a", ())), "unique"),
        ((Plot("a b", ()),), "letters"),
        ((Viewer(""), Viewer("")), "at most one"),
        ((Viewer("", color_by="mood"),), "color_by"),
        ((Viewer("", arrows=(Arrow((0.0, 0.0, 0.0), (0.0, float("nan"), 1.0), "up"),)),), "arrow 'up'"),
        ((Table(("a", "b"), ((1,),)),), "1 cells"),
        ((Plot("a", ({"y": [object()]},)),), "cannot hold"),
    ],
)
def test_pages_that_cannot_be_shown_are_refused(blocks, match):
    with pytest.raises((ValueError, TypeError), match=match):
        render_page(Page("x", sections=(Section("s", "", blocks),)))


def test_long_tables_are_cut_and_say_so():
    table = Table(("n",), tuple((i,) for i in range(500)), max_rows=10)
    html = render_page(Page("x", sections=(Section("s", "", (table,)),)))
    assert "The first 10 of 500 rows" in html and html.count("<td") == 10


def test_rows_lead_to_the_model_only_where_there_is_one():
    table = Table(("a",), (Row(("A 1",), Goto("A", 1)),))
    alone = render_page(Page("x", sections=(Section("s", "", (table,)),)))
    beside = render_page(Page("x", sections=(Section("s", "", (table, Viewer("ATOM"))),)))
    assert 'class="goto"' not in alone and "data-chain" not in alone.split("<body>")[1].split("<script")[0]
    assert 'class="goto"' in beside and 'data-chain="A" data-resi="1"' in beside


def test_control_characters_are_removed():
    assert "\x1b" not in render_page(Page("a\x1b[31mred", footer="\x00\x9b"))


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, None, "–"),
        (float("nan"), 3, "–"),
        (np.float32(0.5), 2, "0.50"),
        (0.18534, 4, "0.1853"),
        (-0.0001, 2, "0.00"),
        (-1.5, 1, "−1.5"),
        (3.2e-10, None, "3.2 × 10⁻¹⁰"),
        (1234567.0, None, "1.2 × 10⁶"),
        (12345.6, None, "12346"),
        (22.414, None, "22.41"),
        (617, None, "617"),
        (12345, None, "12\u202f345"),
        (True, None, "yes"),
        (float("inf"), None, "∞"),
        ("2mFo-DFc", None, "2mFo-DFc"),
    ],
)
def test_numbers_read_well(value, digits, text):
    assert format_value(value, digits) == text


def test_vendored_scripts_are_what_they_claim():
    vendor = files("consilience.report").joinpath("vendor")
    entries = json.loads(vendor.joinpath("VENDOR.json").read_text())
    assert {e["file"] for e in entries} == {"3Dmol-min.js", "plotly-basic.min.js"}
    for entry in entries:
        data = vendor.joinpath(entry["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        assert len(data) == entry["bytes"] < 2_000_000
        assert b"\r" not in data  # a browser would change them, and the hash in the policy would not match
        assert all(len(vendor.joinpath(name).read_text()) > 500 for name in entry["licence_files"])


def test_closing_tags_inside_scripts_are_defused(monkeypatch):
    class Fake:
        def joinpath(self, *_):
            return self

        def read_text(self, encoding):
            return 'a="</script>";b="<!--<script>"'

    monkeypatch.setattr(render, "files", lambda _: Fake())
    assert render._asset("x.js") == 'a="<\\/script>";b="<\\!--<script>"'


def test_reports_need_no_jax():
    code = "import sys, consilience.report.render, consilience.report.figures; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
