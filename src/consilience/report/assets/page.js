// Draws the plots in the current look, sorts tables, follows the reader in the contents list, and flips dark and light.
(function () {
  "use strict";
  var root = document.documentElement;
  var data = JSON.parse(document.getElementById("page-data").textContent);
  var system = matchMedia("(prefers-color-scheme: dark)");
  var printing = false;

  function dark() {
    if (printing) return false;
    return root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  }
  function css(name) { return getComputedStyle(root).getPropertyValue(name).trim(); }

  // palette tokens ("@blue") become colours of the current look, anywhere in a trace or layout
  function coloured(value) {
    if (typeof value === "string") return data.palette[value] ? data.palette[value][dark() ? 1 : 0] : value;
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(coloured);
    if (value && typeof value === "object") {
      var out = {};
      Object.keys(value).forEach(function (key) { out[key] = coloured(value[key]); });
      return out;
    }
    return value;
  }
  function axis(given) {
    var ink = printing ? "#59636e" : css("--muted");
    var base = {
      automargin: true, zeroline: false, gridcolor: coloured("@grid"), linecolor: coloured("@grid"), showline: true,
      ticks: "outside", ticklen: 4, tickcolor: coloured("@grid"), tickfont: { color: ink }
    };
    var own = coloured(given || {});
    Object.keys(own).forEach(function (key) { base[key] = own[key]; });
    if (base.title) base.title = { text: base.title.text, standoff: 8, font: { color: ink, size: 13 } };
    return base;
  }
  function layoutOf(plot) {
    var named = plot.traces.filter(function (t) { return t.name && t.showlegend !== false; }).length;
    var ink = printing ? "#1d2530" : css("--ink");
    var scaled = plot.traces.some(function (t) { return t.marker && t.marker.showscale; });
    var layout = {
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 52, r: scaled ? 8 : 12, t: named > 1 ? 30 : 10, b: 44 },
      showlegend: named > 1,
      legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom", bgcolor: "rgba(0,0,0,0)", font: { color: ink } },
      hoverlabel: { bgcolor: css("--surface"), bordercolor: css("--line"), font: { color: ink } },
      hovermode: "closest", dragmode: "zoom", autosize: true
    };
    var own = coloured(plot.layout || {});
    Object.keys(own).forEach(function (key) { layout[key] = own[key]; });
    Object.keys(layout).concat(["xaxis", "yaxis"]).forEach(function (key) {
      if (/^[xy]axis\d*$/.test(key)) layout[key] = axis(plot.layout && plot.layout[key]);
    });
    return layout;
  }
  function draw() {
    if (!window.Plotly) return;
    data.plots.forEach(function (plot) {
      var place = document.getElementById("plot-" + plot.id);
      Plotly.react(place, coloured(plot.traces), layoutOf(plot), {
        responsive: true, displaylogo: false, displayModeBar: false, showTips: false, scrollZoom: false
      });
    });
    root.dataset.plots = String(document.querySelectorAll(".plot .main-svg").length ? document.querySelectorAll(".plot.js-plotly-plot").length : 0);
  }
  function look() {
    var button = document.getElementById("theme");
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", "Switch to the " + (dark() ? "light" : "dark") + " look");
    draw();
    document.dispatchEvent(new Event("look"));
  }

  function sortable(table) {
    var heads = Array.prototype.slice.call(table.querySelectorAll("th"));
    heads.forEach(function (head, column) {
      head.querySelector("button").addEventListener("click", function () {
        var up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        var body = table.tBodies[0];
        var rows = Array.prototype.slice.call(body.rows);
        rows.sort(function (a, b) {
          var p = a.cells[column], q = b.cells[column];
          if (!p || !q) return 0;
          var x = p.dataset.v, y = q.dataset.v;
          if (x === undefined && y === undefined) {
            return (up ? 1 : -1) * p.textContent.localeCompare(q.textContent, "en", { numeric: true });
          }
          if (x === undefined) return 1;
          if (y === undefined) return -1;
          return (up ? 1 : -1) * (Number(x) - Number(y));
        });
        rows.forEach(function (row) { body.appendChild(row); });
      });
    });
  }
  function contents() {
    var links = Array.prototype.slice.call(document.querySelectorAll(".toc a"));
    var places = links.map(function (a) { return document.getElementById(a.hash.slice(1)); });
    var waiting = false;
    function mark() {
      waiting = false;
      var at = 0;
      places.forEach(function (p, i) { if (p.getBoundingClientRect().top < innerHeight * 0.3) at = i; });
      if (scrollY > 10 && innerHeight + scrollY >= document.body.scrollHeight - 4) at = links.length - 1;
      links.forEach(function (a, i) {
        if (i === at) a.setAttribute("aria-current", "true"); else a.removeAttribute("aria-current");
      });
    }
    addEventListener("scroll", function () { if (!waiting) { waiting = true; requestAnimationFrame(mark); } }, { passive: true });
    if (links.length) mark();
  }
  function copier() {
    var button = document.getElementById("copy");
    if (!button || !navigator.clipboard) return;
    button.hidden = false;
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(document.getElementById("command").textContent).then(
        function () { button.textContent = "Copied"; },
        function () { button.textContent = "Copy failed"; }
      );
    });
  }

  var button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", function () { root.dataset.theme = dark() ? "light" : "dark"; look(); });
  system.addEventListener("change", look);
  addEventListener("beforeprint", function () { printing = true; draw(); });
  addEventListener("afterprint", function () { printing = false; draw(); });
  Array.prototype.forEach.call(document.querySelectorAll("table"), sortable);
  contents();
  copier();
  look();
  if (data.viewer) window.consilViewer(data.viewer);
  root.dataset.ready = "1";
})();
