"""A report in headless Chromium: no error, no request, plots and model drawn, rows lead to residues."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from consilience.report.page import Page, Section
from consilience.report.render import write_page

from .conftest import BLOB, BLOB_B
from .reports import browser

pytestmark = pytest.mark.browser

# A page beside the report that looks into it, clicks as a reader would, and leaves what it saw as JSON.
PROBE = """<!doctype html><body style="margin:0"><iframe id="frame" src="report.html" width="640" height="480"></iframe>
<pre id="seen"></pre><script>
"use strict";
var frame = document.getElementById("frame"), seen = {};
function wait(test, then, tries) {
  if (test() || tries > 400) then(); else setTimeout(function () { wait(test, then, (tries || 0) + 1); }, 100);
}
async function inflate(text) {
  var raw = Uint8Array.from(atob(text), function (c) { return c.charCodeAt(0); });
  return new Response(new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer();
}
function painted(doc) {
  var canvas = doc.querySelector("#stage canvas"), copy = document.createElement("canvas");
  copy.width = canvas.width; copy.height = canvas.height;
  var ink = copy.getContext("2d"); ink.drawImage(canvas, 0, 0);
  var p = ink.getImageData(0, 0, copy.width, copy.height).data, colours = new Set(), n = 0;
  for (var i = 0; i < p.length; i += 4) {
    var c = (p[i] << 16) | (p[i + 1] << 8) | p[i + 2];
    if (p[i + 3] > 0 && c !== 0xffffff && c !== 0x191f26) { n++; colours.add(c); }
  }
  return { share: n / (p.length / 4), colours: colours.size };
}
frame.onload = function () {
  var win = frame.contentWindow, doc = frame.contentDocument, root = doc.documentElement;
  wait(function () { return root.dataset.ready && !/none/.test(root.dataset.viewer); }, async function () {
    seen.state = Object.assign({}, root.dataset);
    seen.plots = doc.querySelectorAll(".plot .main-svg").length;
    seen.points = doc.querySelectorAll("#plot-r .point").length;
    seen.picture = doc.querySelectorAll("#plot-rama image").length;
    seen.images = doc.querySelectorAll("img").length;
    seen.message = doc.getElementById("stage-message").hidden ? "" : doc.getElementById("stage-message").textContent;
    seen.xss = win.__xss === undefined;
    seen.heading = doc.querySelector("h1").textContent;
    if (root.dataset.viewer === "drawn") {
      seen.before = painted(doc);
      var map = JSON.parse(doc.getElementById("page-data").textContent).viewer.maps[0];
      if (map) {
        map.codes = new Int8Array(await inflate(map.data));
        seen.mesh = Array.from(win.consilMesh(map, (MESH_LEVEL - map.offset) / map.step, null).points);
      }
      var rods = doc.getElementById("arrows");
      if (rods) {
        rods.click();
        await new Promise(function (r) { setTimeout(r, 300); });
        seen.bare = painted(doc);
        rods.click();
      }
      doc.querySelectorAll("tr[data-chain] button")[1].click();
      seen.status = doc.getElementById("stage-status").textContent;
      seen.chosen = doc.querySelector("tr.chosen").dataset.resi;
      doc.querySelectorAll("#coloring option").forEach(function (o) {
        doc.getElementById("coloring").value = o.value;
        doc.getElementById("coloring").dispatchEvent(new win.Event("change"));
      });
      ["both", "sticks", "cartoon"].forEach(function (s) {
        doc.getElementById("style").value = s;
        doc.getElementById("style").dispatchEvent(new win.Event("change"));
      });
      var slider = doc.querySelector("input[type=range]");
      if (slider) { slider.value = "5"; slider.dispatchEvent(new win.Event("input")); }
      await new Promise(function (r) { setTimeout(r, 300); });
      seen.level = slider ? doc.querySelector("output").textContent : "";
      seen.after = painted(doc);
      doc.getElementById("reset").click();
    }
    seen.light = win.getComputedStyle(doc.body).backgroundColor;
    doc.getElementById("theme").click();
    seen.dark = win.getComputedStyle(doc.body).backgroundColor;
    var heads = doc.querySelectorAll("#section-2 th button");
    if (heads.length) {
      heads[1].click(); heads[1].click();
      seen.sorted = [];
      doc.querySelectorAll("#section-2 td:first-child").forEach(function (t) { seen.sorted.push(t.textContent); });
    }
    seen.requests = win.performance.getEntriesByType("resource").map(function (e) { return e.name.slice(0, 80); });
    seen.errors = Number(root.dataset.errors);
    seen.last = root.dataset.lastError || "";
    document.getElementById("seen").textContent = JSON.stringify(seen);
  }, 0);
};
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = browser()
    if not found:
        pytest.skip("no Chromium found (install the package chromium, or set CHROMIUM)")
    return found


def look(chromium: str, folder: Path, page: Page, *flags: str) -> dict:
    """Write the page, open it below the probe, and return what the probe saw, with the console messages."""
    write_page(folder / "report.html", page)
    level = np.exp(-4.0 / BLOB_B)  # 2 Å from the centre of the blob
    (folder / "probe.html").write_text(PROBE.replace("MESH_LEVEL", repr(float(level))), encoding="utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files"]
    command += [
        "--use-gl=angle",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--force-prefers-reduced-motion",
    ]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0", "--window-size=700,600"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=15000", "--dump-dom", *flags]
    done = subprocess.run([*command, f"file://{folder}/probe.html"], capture_output=True, text=True, timeout=240)
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, f"the probe saw nothing: {done.stdout[-500:]} {done.stderr[-2000:]}"
    seen = json.loads(unescape(found[1]))
    seen["console"] = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return seen


@pytest.fixture(scope="module")
def seen(chromium, tmp_path_factory, fake_page) -> dict:
    return look(chromium, tmp_path_factory.mktemp("page"), fake_page)


def test_opens_without_error_or_request(seen):
    assert seen["errors"] == 0, seen["last"]
    assert seen["console"] == []
    assert [r for r in seen["requests"] if not r.startswith(("data:", "blob:"))] == []


def test_hostile_text_does_nothing(seen, fake_page):
    assert seen["xss"] and seen["images"] == 0
    assert seen["heading"] == fake_page.title


def test_plots_are_drawn(seen):
    assert seen["state"]["plots"] == "4" and seen["plots"] >= 4
    assert seen["points"] == 0 and seen["picture"] == 1  # lines without markers; the heat map's picture


def test_model_and_maps_are_drawn(seen):
    assert seen["state"]["viewer"] == "drawn" and seen["message"] == ""
    assert seen["before"]["share"] > 0.01 and seen["before"]["colours"] > 50
    assert seen["after"]["share"] > 0.01 and seen["after"]["colours"] > 50


def test_arrows_are_drawn_and_can_be_hidden(seen):
    assert seen["before"]["share"] > seen["bare"]["share"] > 0.01


def test_contours_lie_where_the_density_is(seen):
    points = np.array(seen["mesh"]).reshape(-1, 3)
    assert len(points) > 100
    radius = np.linalg.norm(points - BLOB, axis=1)
    assert np.abs(radius - 2.0).max() < 0.12
    assert abs(radius.mean() - 2.0) < 0.03
    assert np.linalg.norm(points.mean(axis=0) - BLOB) < 0.05


def test_controls_answer(seen):
    assert seen["status"].startswith("ALA 7 of chain A") and seen["chosen"] == "7"
    assert seen["level"] == "5.0 σ"
    assert seen["light"] != seen["dark"]
    assert seen["sorted"] == ["A 11 ALA", "A 7 ALA", "A 3 ALA"]


@pytest.mark.slow
def test_mmcif_is_drawn_too(chromium, tmp_path, helix, fake_page):
    table, viewer = fake_page.sections[1].blocks
    cif = replace(viewer, structure_text=helix.make_mmcif_document().as_string(), format="cif")
    seen = look(chromium, tmp_path, Page("cif", sections=(Section("a"), Section("b", "", (table, cif)))))
    assert seen["errors"] == 0, seen["last"]
    assert seen["state"]["viewer"] == "drawn" and seen["before"]["share"] > 0.01
    assert seen["status"].startswith("ALA 7 of chain A")


def test_without_webgl_a_message_and_all_plots(chromium, tmp_path, fake_page):
    seen = look(chromium, tmp_path, fake_page, "--disable-3d-apis")
    assert seen["errors"] == 0, seen["last"]
    assert seen["state"]["viewer"] == "no-webgl" and "WebGL" in seen["message"]
    assert seen["state"]["plots"] == "4"
