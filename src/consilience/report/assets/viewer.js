// The 3-D view: model, maps as meshes, colours per residue, and "go to" from the rows of tables.
(function () {
  "use strict";
  var FOCUS_RADIUS = 9; // Å of density around the focus
  var NEIGHBOURS = 6; // Å: residues around the focus shown with side chains
  var SLAB = 11; // Å in front of and behind the focus
  var CHAINS = ["#3f7fb5", "#d0803a", "#3a9d80", "#b0679c", "#b8922f", "#6c8fa8", "#8a6fb0", "#7c8b55"];
  var ELEMENTS = { N: "#3b6fd4", O: "#d8432f", S: "#d9a514", P: "#e07b1a", SE: "#d98f14", FE: "#c4622d", ZN: "#7d80b0", MG: "#2e9e4f", CA: "#4fae3b", NA: "#8a5cd0", CL: "#2fa83b", K: "#8f40c4", MN: "#9c7ac7", H: "#c9ced3" };
  var WATER = { HOH: 1, WAT: 1, DOD: 1, H2O: 1 };

  function el(id) { return document.getElementById(id); }
  function bytes(text) {
    var raw = atob(text), out = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return new Response(new Blob([out]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer();
  }
  function hasWebGL() {
    try {
      var probe = document.createElement("canvas");
      return Boolean(probe.getContext("webgl2") || probe.getContext("webgl"));
    } catch (e) { return false; }
  }
  function hex(text) { return [1, 3, 5].map(function (i) { return parseInt(text.slice(i, i + 2), 16); }); }
  function along(scale, t) {
    t = Math.min(1, Math.max(0, t));
    for (var i = 1; i < scale.length - 1 && scale[i][0] < t; i++);
    var a = scale[i - 1], b = scale[i], u = (t - a[0]) / (b[0] - a[0]), p = hex(a[1]), q = hex(b[1]);
    return "#" + p.map(function (x, n) { return Math.round(x + u * (q[n] - x)).toString(16).padStart(2, "0"); }).join("");
  }
  function number(x) { return Number(x.toPrecision(3)).toString().replace("-", "−"); }
  function quantile(sorted, q) { return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]; }

  window.consilViewer = function (data) {
    var root = document.documentElement, stage = el("stage"), message = el("stage-message");
    function refuse(text, state) {
      message.textContent = text;
      message.hidden = false;
      root.dataset.viewer = state;
    }
    if (!hasWebGL()) {
      refuse("This browser cannot draw in 3-D (WebGL is off or missing). All plots and tables work without it; the model and maps are in the output files.", "no-webgl");
      return;
    }
    if (!window.DecompressionStream) {
      refuse("This browser is too old to unpack the model (it lacks DecompressionStream). All plots and tables work without it.", "too-old");
      return;
    }
    Promise.all([bytes(data.structure)].concat(data.maps.map(function (m) { return bytes(m.data); }))).then(function (parts) {
      var text = new TextDecoder().decode(parts[0]);
      data.maps.forEach(function (m, i) { m.codes = new Int8Array(parts[i + 1]); m.data = null; });
      start(data, text);
      message.hidden = true;
      root.dataset.viewer = "drawn";
    }).catch(function (e) {
      refuse("The 3-D view failed: " + e.message, "error");
      throw e;
    });
  };

  function start(data, text) {
    var stage = el("stage"), status = el("stage-status");
    function paper() { return getComputedStyle(document.documentElement).getPropertyValue("--surface").trim(); }
    var still = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 1;
    var view = $3Dmol.createViewer(stage, { backgroundColor: paper(), antialias: true, cartoonQuality: 6, disableFog: false });
    var model = view.addModel(text, data.format === "cif" ? "mcif" : "pdb", { doAssembly: false, noSecondaryStructure: false, keepH: data.hydrogens });
    var atoms = model.selectedAtoms({});
    if (!atoms.length) throw new Error("the structure holds no atoms");
    atoms.forEach(function (a) { a.chain = (a.chain || "").trim().replace(/^[.?]$/, ""); }); // a chain without a name

    var residues = new Map();
    function keyOf(a) { return a.chain + "|" + a.resi + "|" + (a.icode || "").trim(); }
    atoms.forEach(function (a) {
      var key = keyOf(a), r = residues.get(key);
      if (!r) residues.set(key, r = { chain: a.chain, resi: a.resi, name: a.resn, atoms: [], names: {} });
      r.atoms.push(a);
      r.names[a.atom] = true;
    });
    residues.forEach(function (r) {
      var n = r.names;
      r.kind = WATER[r.name] ? "water" : (n.N && n.CA && n.C) || n["C4'"] ? "polymer" : n.CA && r.atoms.length === 1 && r.name.length === 3 && r.atoms[0].elem === "C" ? "trace" : r.atoms.length === 1 ? "ion" : "ligand";
      r.b = r.atoms.reduce(function (s, a) { return s + (a.b || 0); }, 0) / r.atoms.length;
    });
    var before = null; // beads are too far apart for the viewer to tie them
    residues.forEach(function (r) {
      var a = r.atoms[0], b = before && before.atoms[0];
      if (r.kind === "trace" && before && before.kind === "trace" && before.chain === r.chain && r.resi === before.resi + 1) {
        a.bonds.push(b.index); a.bondOrder.push(1);
        b.bonds.push(a.index); b.bondOrder.push(1);
      }
      before = r;
    });
    function kind(a) { return residues.get(keyOf(a)).kind; }
    function only() { var kinds = arguments; return { predicate: function (a) { return Array.prototype.indexOf.call(kinds, kind(a)) >= 0; } }; }
    var polymers = 0;
    residues.forEach(function (r) { if (r.kind === "polymer" || r.kind === "trace") polymers++; });

    // ---- colours
    var chains = Array.from(new Set(atoms.map(function (a) { return a.chain; })));
    var coloring = 0, focus = null;
    function painter() {
      var c = data.colorings[coloring], scale = data.scale, value = null, low, high;
      if (c.kind === "chain") return { of: function (a) { return CHAINS[chains.indexOf(a.chain) % CHAINS.length]; } };
      if (c.kind === "element") return { of: function () { return "#8e99a4"; } };
      if (c.kind === "secondary") return { of: function (a) { return a.ss === "h" ? CHAINS[1] : a.ss === "s" ? CHAINS[0] : "#a3adb6"; } };
      if (c.kind === "b") value = function (a) { return residues.get(keyOf(a)).b; };
      else value = function (a) { var v = c.values[a.chain + "|" + a.resi]; return v === undefined ? null : v; };
      var all = [];
      residues.forEach(function (r) {
        if (c.kind === "b" && r.kind === "water") return;
        var v = value(r.atoms[0]);
        if (v !== null) all.push(v);
      });
      all.sort(function (p, q) { return p - q; });
      low = typeof c.low === "number" ? c.low : quantile(all, 0.02);
      high = typeof c.high === "number" ? c.high : quantile(all, 0.98);
      if (!(high - low)) high = low + 1; // low may lie above high: the scale then runs the other way
      return { low: low, high: high, scale: scale, label: c.label + (c.unit ? " / " + c.unit : ""), of: function (a) {
        var v = value(a);
        return v === null ? "#9aa4ae" : along(scale, (v - low) / (high - low));
      } };
    }
    function legend(paint) {
      el("legend").hidden = !paint.scale;
      if (!paint.scale) return;
      el("legend-low").textContent = number(paint.low);
      el("legend-high").textContent = number(paint.high);
      el("legend-label").textContent = paint.label;
      el("legend-ramp").style.background = "linear-gradient(to right," + paint.scale.map(function (s) { return s[1] + " " + 100 * s[0] + "%"; }).join(",") + ")";
    }
    function style() {
      var paint = painter(), show = el("style").value, waters = el("waters").checked;
      function atomColour(a) { return a.elem !== "C" && ELEMENTS[a.elem.toUpperCase()] || paint.of(a); }
      legend(paint);
      view.setStyle({}, {});
      if (show !== "sticks" && !focus) view.setStyle(only("polymer", "trace"), { cartoon: { colorfunc: paint.of, arrows: true, thickness: 0.3 } });
      if (show !== "sticks" && focus) view.setStyle(only("polymer", "trace"), { stick: { radius: 0.05, colorfunc: atomColour } });
      if (show === "both" && !focus) view.addStyle(only("polymer"), { stick: { radius: 0.1, colorfunc: atomColour } });
      view.addStyle(only("trace"), { stick: { radius: 0.2, colorfunc: paint.of }, sphere: { radius: 0.55, colorfunc: paint.of } });
      if (show === "sticks") view.setStyle(only("polymer"), { stick: { radius: 0.16, colorfunc: atomColour } });
      view.setStyle(only("ligand"), { stick: { radius: 0.2, colorfunc: atomColour } });
      view.setStyle(only("ion"), { sphere: { scale: 0.35, colorfunc: atomColour } });
      if (waters) view.setStyle(only("water"), { sphere: { radius: 0.3, colorfunc: atomColour } });
      if (focus) {
        var near = focus.near;
        view.addStyle({ predicate: function (a) { return near.has(keyOf(a)) && kind(a) === "polymer"; } }, { stick: { radius: 0.13, colorfunc: atomColour } });
        view.addStyle({ predicate: function (a) { return near.has(keyOf(a)) && kind(a) === "water"; } }, { sphere: { radius: 0.25, colorfunc: atomColour } });
        view.addStyle({ predicate: function (a) { return keyOf(a) === focus.key && kind(a) !== "water"; } }, { stick: { radius: 0.24, colorfunc: atomColour } });
      }
    }

    // ---- maps: line meshes put straight into the shape's buffers (16-bit indices: in parts of 60 000 vertices)
    function lines(mesh, colour, opacity) {
      var shape = view.addShape({ color: colour, wireframe: true, opacity: opacity }), c = $3Dmol.CC.color(colour), geo = shape.geo;
      var at = 0, total = mesh.edges.length, local = new Int32Array(mesh.points.length / 3), part = new Int32Array(local.length), id = 0;
      while (at < total) {
        var xyz = [], ends = [];
        id++;
        while (at < total && xyz.length < 180000) {
          for (var e = 0; e < 2; e++, at++) {
            var v = mesh.edges[at];
            if (part[v] !== id) {
              part[v] = id;
              local[v] = xyz.length / 3;
              xyz.push(mesh.points[3 * v], mesh.points[3 * v + 1], mesh.points[3 * v + 2]);
            }
            ends.push(local[v]);
          }
        }
        var group = geo.addGeoGroup(), n = xyz.length / 3;
        group.vertexArray = Float32Array.from(xyz);
        group.normalArray = new Float32Array(3 * n);
        group.colorArray = new Float32Array(3 * n);
        for (var i = 0; i < n; i++) group.colorArray.set([c.r, c.g, c.b], 3 * i);
        group.faceArray = new Uint16Array(0);
        group.lineArray = Uint16Array.from(ends);
        group.vertices = n;
        group.faceidx = 0;
        group.lineidx = ends.length;
      }
      return shape;
    }
    var drawn = data.maps.map(function () { return []; });
    function contour(index) {
      var map = data.maps[index], slider = document.querySelector("input[type=range][data-map='" + index + "']");
      drawn[index].forEach(function (s) { view.removeShape(s); });
      drawn[index] = [];
      var factor = Number(slider.value) / Math.abs(map.levels[0]);
      var signs = map.levels.some(function (l) { return l < 0; }) && map.levels.some(function (l) { return l > 0; });
      var text = (signs ? "±" : map.levels[0] < 0 ? "−" : "") + Number(slider.value).toFixed(1) + " σ";
      document.querySelector("output[data-map='" + index + "']").textContent = text;
      slider.setAttribute("aria-valuetext", text);
      if (!el("map-" + index).checked) return;
      var ball = null;
      if (focus && el("extent").value === "focus") ball = { x: focus.x, y: focus.y, z: focus.z, r: FOCUS_RADIUS };
      map.levels.forEach(function (level, n) {
        var mesh = consilMesh(map, (level * factor * map.sigma) / map.step, ball);
        if (mesh.edges.length) drawn[index].push(lines(mesh, map.colours[n], ball || signs ? 1 : 0.5));
      });
    }
    function contourAll() { data.maps.forEach(function (m, i) { contour(i); }); }

    // ---- arrows and axes, shown with the whole model only
    var rods = [], tags = [];
    function arrows() {
      rods.forEach(function (s) { view.removeShape(s); });
      tags.forEach(function (l) { view.removeLabel(l); });
      rods = [];
      tags = [];
      if (!data.arrows.length || focus || !el("arrows").checked) return;
      var ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
      function point(p) { return { x: p[0], y: p[1], z: p[2] }; }
      data.arrows.forEach(function (a) {
        var from = point(a.start), to = point(a.end), middle = point(a.start.map(function (v, i) { return (v + a.end[i]) / 2; }));
        function arrow(p, q) { rods.push(view.addArrow({ start: p, end: q, radius: a.radius, radiusRatio: 2.2, mid: 0.9, color: a.colour })); }
        if (a.heads === 0) rods.push(view.addCylinder({ start: from, end: to, radius: a.radius, color: a.colour, fromCap: 2, toCap: 2 }));
        else if (a.heads === 1) arrow(from, to);
        else { arrow(middle, from); arrow(middle, to); }
        if (a.label) tags.push(view.addLabel(a.label, { position: to, font: "sans-serif", fontSize: 13, fontColor: ink, backgroundColor: paper(), backgroundOpacity: 0.75, borderColor: a.colour, borderThickness: 1, inFront: true }));
      });
    }

    // ---- go to a residue
    function goTo(key) {
      var r = residues.get(key);
      if (!r) { status.textContent = "That residue is not in the model."; return false; }
      var n = r.atoms.length, x = 0, y = 0, z = 0;
      r.atoms.forEach(function (a) { x += a.x / n; y += a.y / n; z += a.z / n; });
      var near = new Set();
      atoms.forEach(function (a) {
        if (r.atoms.some(function (b) { return Math.pow(a.x - b.x, 2) + Math.pow(a.y - b.y, 2) + Math.pow(a.z - b.z, 2) < NEIGHBOURS * NEIGHBOURS; })) near.add(keyOf(a));
      });
      focus = { key: key, x: x, y: y, z: z, near: near };
      if (data.maps.length) el("extent").value = "focus";
      refresh();
      view.zoomTo({ predicate: function (a) { return near.has(keyOf(a)); } }, 500 * still);
      view.zoom(1.3, 500 * still);
      view.setSlab(-SLAB, SLAB);
      status.textContent = r.name + " " + r.resi + (r.chain ? " of chain " + r.chain : "") + (r.b ? ", mean B " + number(r.b) + " Å²" : "") + ".";
      return true;
    }
    function refresh() { style(); contourAll(); arrows(); view.render(); }
    function reset() {
      focus = null;
      if (data.maps.length) el("extent").value = "all";
      document.querySelectorAll("tr.chosen").forEach(function (t) { t.classList.remove("chosen"); });
      status.textContent = "";
      refresh();
      whole(400 * still);
    }
    // zoomTo fits the height; a narrow view (a phone) needs the width to fit as well
    function whole(time) {
      view.zoomTo(only("polymer", "trace", "ligand", "ion"), time);
      view.zoom((data.arrows.length ? 1.0 : 1.1) * Math.min(1, stage.clientWidth / stage.clientHeight), time);
    }

    // ---- controls
    data.colorings.forEach(function (c, i) {
      var option = document.createElement("option");
      option.value = String(i);
      option.textContent = c.label;
      el("coloring").appendChild(option);
    });
    if (data.colorings.length < 2) el("coloring").parentElement.hidden = true;
    document.querySelectorAll(".swatches i").forEach(function (s) { s.style.background = s.dataset.colour; });
    if (polymers > 0 && polymers < 25) el("style").value = "both";
    if (!polymers) { el("style").parentElement.hidden = true; }
    el("coloring").addEventListener("change", function () { coloring = Number(this.value); style(); view.render(); });
    el("style").addEventListener("change", function () { style(); view.render(); });
    el("waters").addEventListener("change", function () { style(); view.render(); });
    if (data.arrows.length) el("arrows").addEventListener("change", function () { arrows(); view.render(); });
    el("reset").addEventListener("click", reset);
    if (data.maps.length) el("extent").addEventListener("change", function () {
      if (this.value === "focus" && !focus) {
        var c = atoms[Math.floor(atoms.length / 2)];
        goTo(keyOf(c));
      } else { contourAll(); view.render(); }
    });
    data.maps.forEach(function (m, i) {
      el("map-" + i).addEventListener("change", function () { contour(i); view.render(); });
      var slider = document.querySelector("input[type=range][data-map='" + i + "']"), waiting = 0;
      slider.addEventListener("input", function () {
        cancelAnimationFrame(waiting);
        waiting = requestAnimationFrame(function () { contour(i); view.render(); });
      });
    });
    document.querySelectorAll("tr[data-chain]").forEach(function (row) {
      row.addEventListener("click", function () {
        var d = row.dataset;
        document.querySelectorAll("tr.chosen").forEach(function (t) { t.classList.remove("chosen"); });
        row.classList.add("chosen");
        if (goTo(d.chain + "|" + d.resi + "|" + d.icode)) el("viewer").scrollIntoView({ block: "nearest" });
      });
    });
    stage.addEventListener("keydown", function (e) {
      var turn = { ArrowLeft: ["y", -8], ArrowRight: ["y", 8], ArrowUp: ["x", -8], ArrowDown: ["x", 8] }[e.key];
      if (turn) view.rotate(turn[1], turn[0]);
      else if (e.key === "+" || e.key === "=") view.zoom(1.15);
      else if (e.key === "-") view.zoom(0.87);
      else if (e.key === "r" || e.key === "R") reset();
      else return;
      e.preventDefault();
    });
    // the wheel scrolls the page until the view has been chosen by a click or the Tab key
    stage.addEventListener("wheel", function (e) { if (!stage.contains(document.activeElement)) e.stopPropagation(); }, true);
    stage.addEventListener("pointerdown", function () { stage.focus({ preventScroll: true }); });
    view.setClickable({}, true, function (a) { goTo(keyOf(a)); });
    document.addEventListener("look", function () { view.setBackgroundColor(paper(), 1); arrows(); view.render(); });

    el("controls").hidden = false;
    refresh();
    whole(0);
    view.render();
  }
})();
