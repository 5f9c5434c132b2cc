"""Many finished reports in one headless Chromium: what each shows, asks for, and complains about."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

MOST = 4_000_000  # bytes of a report

# Opens one report after another in a frame, waits until it is drawn, presses its buttons, and notes what it saw.
PROBE = """<!doctype html><body style="margin:0"><iframe id="frame" width="640" height="480"></iframe>
<pre id="seen"></pre><script>
"use strict";
var names = NAMES, all = {}, frame = document.getElementById("frame");
function wait(test, then, tries) {
  if (test() || tries > 600) then(); else setTimeout(function () { wait(test, then, (tries || 0) + 1); }, 100);
}
function painted(doc) {
  var canvas = doc.querySelector("#stage canvas");
  if (!canvas) return 0;
  var copy = document.createElement("canvas"), n = 0;
  copy.width = canvas.width; copy.height = canvas.height;
  var ink = copy.getContext("2d"); ink.drawImage(canvas, 0, 0);
  var p = ink.getImageData(0, 0, copy.width, copy.height).data;
  for (var i = 0; i < p.length; i += 4) {
    var c = (p[i] << 16) | (p[i + 1] << 8) | p[i + 2];
    if (p[i + 3] > 0 && c !== 0xffffff && c !== 0x191f26) n++;
  }
  return n / (p.length / 4);
}
function next() {
  if (!names.length) { document.getElementById("seen").textContent = JSON.stringify(all); return; }
  var name = names.shift();
  frame.onload = function () {
    var win = frame.contentWindow, doc = frame.contentDocument, root = doc.documentElement;
    var stage = doc.getElementById("stage");
    wait(function () { return root.dataset.ready && (!stage || root.dataset.viewer !== "none"); }, function () {
      var data = JSON.parse(doc.getElementById("page-data").textContent), seen = {};
      seen.declared = data.plots.length;
      seen.plots = doc.querySelectorAll(".plot.js-plotly-plot .main-svg").length ?
        doc.querySelectorAll(".plot.js-plotly-plot").length : 0;
      seen.empty = data.plots.filter(function (p) { return !p.traces.length; }).map(function (p) { return p.id; });
      seen.wants3d = !!data.viewer;
      seen.viewer = root.dataset.viewer;
      seen.painted = stage ? painted(doc) : 0;
      seen.cards = doc.querySelectorAll(".card").length;
      seen.heading = doc.querySelector("h1").textContent;
      seen.unnamed = doc.querySelectorAll("button:empty:not([aria-label])").length;
      seen.language = root.lang;
      seen.one = win.getComputedStyle(doc.body).backgroundColor;
      doc.getElementById("theme").click();
      seen.other = win.getComputedStyle(doc.body).backgroundColor;
      seen.requests = win.performance.getEntriesByType("resource").map(function (e) { return e.name.slice(0, 80); })
        .filter(function (n) { return !/^(data|blob):/.test(n); });
      seen.errors = Number(root.dataset.errors);
      seen.last = root.dataset.lastError || "";
      all[name] = seen;
      next();
    });
  };
  frame.src = name;
}
next();
</script>"""

FLAGS = (
    "--headless --no-sandbox --disable-quic --no-first-run --disable-sync --disable-background-networking "
    "--disable-component-update --allow-file-access-from-files --use-gl=angle --use-angle=swiftshader "
    "--enable-unsafe-swiftshader --force-prefers-reduced-motion --enable-logging=stderr --v=0 --window-size=700,600"
).split()


def browser() -> str | None:
    """The command of a Chromium, where there is one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("CHROMIUM") or next((p for p in map(shutil.which, names) if p), None)


def open_all(chromium: str, folder: Path, reports: dict[str, Path]) -> tuple[dict[str, Any], list[str]]:
    """What the probe saw of each report, by name, and the messages of the console."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in reports.items():
        shutil.copy(path, folder / f"{name}.html")
    names = json.dumps([f"{name}.html" for name in reports])
    (folder / "probe.html").write_text(PROBE.replace("NAMES", names), encoding="utf-8")
    command = [chromium, *FLAGS, "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}"]
    command += [f"--virtual-time-budget={20000 + 15000 * len(reports)}", "--dump-dom", f"file://{folder}/probe.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, f"the probe saw nothing: {done.stdout[-500:]} {done.stderr[-2000:]}"
    seen = {k.removesuffix(".html"): v for k, v in json.loads(unescape(found[1])).items()}
    return seen, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def assert_sound(chromium: str, folder: Path, reports: dict[str, Path]) -> None:
    """Every report is small, strict, drawn, quiet, and has a dark and a light side."""
    assert reports
    for name, path in reports.items():
        text = path.read_text(encoding="utf-8")
        assert path.stat().st_size < MOST, (name, path.stat().st_size)
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        rules = unescape(policy[1]) if policy else ""
        assert rules.startswith("default-src 'none'") and "unsafe-eval" not in rules and "http" not in rules, name
    seen, console = open_all(chromium, folder, reports)
    assert set(seen) == set(reports)
    for name, s in seen.items():
        assert s["errors"] == 0, (name, s["last"])
        assert s["requests"] == [], (name, s["requests"])
        assert s["plots"] == s["declared"] and not s["empty"], (name, s)
        assert not s["wants3d"] or (s["viewer"] == "drawn" and s["painted"] > 0.005), (name, s)
        assert s["cards"] > 0 and s["heading"] and s["language"] == "en" and s["unnamed"] == 0, (name, s)
        assert s["one"] != s["other"], name
    # in a frame as narrow as the probe's Plotly may give up to fit margins to legends, and says so; nothing is wrong
    assert [line for line in console if "auto-margin redraws" not in line] == []
