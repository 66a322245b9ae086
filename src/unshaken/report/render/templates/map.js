// Maps of images: points on a canvas, coloured by a column; a lasso chooses some and says how they differ from the rest.
(function () {
  "use strict";
  var COLOURS = ["#4e79a7", "#e07b1a", "#59a14f", "#d1495b", "#9d6fb5", "#3a9c98", "#b5930f", "#9c755f", "#e377a2", "#6b7bd6"];
  var GREY = "#8a929c", RIGHT = "#4e79a7", WRONG = "#e0562a", Z = 1.959963984540054, LISTED = 100;

  function unpack(text, kind) {
    var raw = atob(text), bytes = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return new kind(bytes.buffer);
  }
  function make(name, values, inside) {
    var found = document.createElement(name);
    for (var key in values) found[key] = values[key];
    (inside || []).forEach(function (one) { found.append(one); });
    return found;
  }
  function spread(values) {
    var low = 65535, high = 0;
    values.forEach(function (v) { low = Math.min(low, v); high = Math.max(high, v); });
    return Math.max(1, high - low) / 65535;
  }
  function percent(share) { return (100 * share).toFixed(1) + " %"; }
  function points(share) { return (100 * share).toFixed(1).replace("-", "\u2212"); }
  function count(n, word) { return n.toLocaleString("en") + " " + word + (n === 1 ? "" : "s"); }

  // Wilson's interval, and Newcombe's of a difference of two independent shares (1998, method 10).
  function wilson(k, n) {
    var p = k / n, z = Z * Z / n, middle = p + z / 2, half = Z * Math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n));
    return [(middle - half) / (1 + z), (middle + half) / (1 + z)];
  }
  function newcombe(k1, n1, k2, n2) {
    var a = wilson(k1, n1), b = wilson(k2, n2), p = k1 / n1, q = k2 / n2;
    return [p - q, p - q - Math.hypot(p - a[0], b[1] - q), p - q + Math.hypot(a[1] - p, q - b[0])];
  }
  function inside(x, y, ring) {
    var found = false;
    for (var i = 0, j = ring.length - 2; i < ring.length; j = i, i += 2)
      if (ring[i + 1] > y !== ring[j + 1] > y
          && x < (ring[j] - ring[i]) * (y - ring[i + 1]) / (ring[j + 1] - ring[i + 1]) + ring[i]) found = !found;
    return found;
  }

  function draw(figure, number) {
    var data = JSON.parse(figure.querySelector("script").textContent), n = data.ids.length, C = data.conditions.length;
    var label = unpack(data.label, Int16Array), predicted = unpack(data.predicted, Int16Array);
    var right = unpack(data.right, Uint8Array), confidence = unpack(data.confidence, Int16Array);
    var numbers = unpack(data.numbers, Int32Array);
    var columns = data.columns.map(function (one) {
      return { name: one.name, parts: one.parts, codes: unpack(one.codes, Int16Array) };
    });
    var maps = data.projections.map(function (one) {
      var x = unpack(one.x, Uint16Array), y = unpack(one.y, Uint16Array);
      return { title: one.title, x: x, y: y, wide: spread(x), high: spread(y) };
    });
    var chosen = new Uint8Array(n), state = { map: 0, by: "", condition: 0, zoom: 1, cx: 0.5, cy: 0.5 };
    var px = new Float32Array(n), py = new Float32Array(n);  // places in pixels
    var lasso = [], dragging = null, parts, codes, colours, timer = 0;

    var pages = figure.closest("[data-samples]");  // of a server, where each sample has a page

    // Controls
    var tools = figure.querySelector("[data-tools]"), id = "map" + number;
    function select(name, title, options) {
      var box = make("select", { id: id + name }), row = make("div", {}, [make("label", { htmlFor: id + name, textContent: title }), box]);
      options.forEach(function (one) { box.append(make("option", { value: one[0], textContent: one[1] })); });
      row.hidden = options.length < 2;
      box.addEventListener("change", refresh);
      return [row, box];
    }
    function button(text, act, title) {
      var found = make("button", { type: "button", textContent: text });
      if (title) found.setAttribute("aria-label", title);
      found.addEventListener("click", act);
      return found;
    }
    var ways = [];
    if (data.labelled) ways.push(["right", "right or wrong"], ["label", "class"]);
    ways.push(["predicted", "predicted class"]);
    columns.forEach(function (one, k) { if (!data.labelled || one.name !== "class") ways.push([String(k), one.name]); });
    var mapBox = select("m", "Projection", maps.map(function (one, k) { return [k, one.title]; }));
    var byBox = select("b", "Colour by", ways);
    var underBox = select("c", "Under", data.conditions.map(function (one, k) { return [k, one.title]; }));
    var drawer = button("Lasso", function () { setLasso(drawer.getAttribute("aria-pressed") !== "true"); });
    var canvas = make("canvas", { tabIndex: 0 }), tip = make("div", { className: "tip", hidden: true });
    canvas.setAttribute("role", "img");
    var frame = make("div", { className: "frame" }, [canvas, tip]);
    var legend = make("ul", { className: "legend" }), report = make("div", { className: "chosen" });
    var detail = make("div", { className: "one" }), said = make("p", { className: "small" });
    said.setAttribute("role", "status");
    var help = make("p", { className: "small soft help", textContent:
      "Draw around points to choose them, or press a name below. Without a mouse: arrow keys move the map, + and \u2212 zoom, 0 shows all, and the button chooses what is in view." });
    tools.append(
      make("div", { className: "controls" }, [mapBox[0], byBox[0], underBox[0]]),
      make("div", { className: "controls" }, [
        drawer, button("+", function () { zoom(1.5); }, "Zoom in"), button("\u2212", function () { zoom(1 / 1.5); }, "Zoom out"),
        button("All", whole, "Show the whole map"), button("Choose what is in view", chooseView), button("Clear", function () { chosen.fill(0); tell(); })]),
      frame, help, legend, said, report, detail);
    tools.hidden = false;
    setLasso(!matchMedia("(pointer: coarse)").matches);

    function setLasso(on) {
      drawer.setAttribute("aria-pressed", String(on));
      canvas.style.touchAction = on ? "none" : "pan-y";
    }

    // What the points are coloured by: a part of each, and a colour of each part
    function colour() {
      var by = state.by, c = state.condition;
      if (by === "right") {
        parts = ["right", "wrong"]; colours = [RIGHT, WRONG]; codes = new Int16Array(n);
        for (var i = 0; i < n; i++) codes[i] = right[c * n + i] > 1 ? -1 : 1 - right[c * n + i];
        return;
      }
      parts = by === "label" || by === "predicted" ? data.classes : columns[+by].parts;
      codes = by === "label" ? label : by === "predicted" ? predicted.subarray(c * n, c * n + n) : columns[+by].codes;
      var sizes = new Int32Array(parts.length);
      for (var k = 0; k < n; k++) if (codes[k] >= 0) sizes[codes[k]]++;
      var order = parts.map(function (_, k) { return k; }).filter(function (k) { return sizes[k]; });
      var large = order.slice().sort(function (a, b) { return sizes[b] - sizes[a] || a - b; }).slice(0, COLOURS.length);
      colours = parts.map(function () { return GREY; });
      order.filter(function (k) { return large.includes(k); }).forEach(function (k, at) { colours[k] = COLOURS[at]; });
    }
    function showLegend() {
      var sizes = new Map();
      for (var i = 0; i < n; i++) sizes.set(codes[i], (sizes.get(codes[i]) || 0) + 1);
      var every = parts.map(function (_, k) { return k; }).filter(function (k) { return sizes.has(k); });
      var named = every.filter(function (k) { return colours[k] !== GREY; }), others = every.length - named.length;
      legend.replaceChildren();
      named.forEach(function (k) {
        var mark = make("i", { className: state.by === "right" && k ? "square" : "" });
        mark.style.background = colours[k];
        var one = button("", function () { choosePart(k); }, "Choose " + parts[k]);
        one.append(mark, parts[k] + " ", make("span", { className: "soft", textContent: sizes.get(k).toLocaleString("en") }));
        legend.append(make("li", {}, [one]));
      });
      if (others) legend.append(make("li", { className: "small soft", textContent: "grey: " + count(others, "other") }));
      if (sizes.has(-1)) legend.append(make("li", { className: "small soft", textContent: "grey: without a value" }));
    }

    // Places: the unit square of the data, of which a square window is seen
    function scale() {  // pixels of the unit square's side, the same for both axes
      var m = maps[state.map], border = 24 * ratio();
      return state.zoom * Math.min((canvas.width - border) / m.wide, (canvas.height - border) / m.high);
    }
    function places() {
      var m = maps[state.map], s = scale(), w = canvas.width / 2, h = canvas.height / 2;
      for (var i = 0; i < n; i++) {
        px[i] = (m.x[i] / 65535 - state.cx) * s + w;
        py[i] = (state.cy - m.y[i] / 65535) * s + h;
      }
    }
    function ratio() { return Math.min(2, window.devicePixelRatio || 1); }
    function paint() {
      var began = performance.now(), w = canvas.width, h = canvas.height, context = canvas.getContext("2d");
      var image = context.createImageData(w, h), pixels = new Uint32Array(image.data.buffer), any = chosen.includes(1);
      places();
      var r = ratio() * (n > 20000 ? 1.2 : n > 3000 ? 1.7 : 2.6) * Math.min(2.2, Math.sqrt(state.zoom)), disc = [], square = [];
      for (var dy = -Math.ceil(r); dy <= r; dy++) for (var dx = -Math.ceil(r); dx <= r; dx++) {
        if (dx * dx + dy * dy <= r * r) disc.push(dx, dy);
        square.push(dx, dy);
      }
      var inks = colours.concat([GREY]).map(function (hex) {
        return 0xff000000 | parseInt(hex.slice(5, 7), 16) << 16 | parseInt(hex.slice(3, 5), 16) << 8 | parseInt(hex.slice(1, 3), 16);
      });
      var faint = inks.map(function (ink) { return ink & 0xffffff | 0x38000000; });
      for (var turn = 0; turn < (any ? 2 : 1); turn++) {  // chosen points lie above the others, which are faint then
        for (var wrong = 0; wrong < 2; wrong++) {
          for (var i = 0; i < n; i++) {
            if (any && chosen[i] !== turn) continue;
            var bad = state.by === "right" && codes[i] === 1;
            if (bad !== (wrong === 1)) continue;
            var x = Math.round(px[i]), y = Math.round(py[i]);
            if (x < 4 || y < 4 || x >= w - 4 || y >= h - 4) continue;
            var at = codes[i] < 0 ? inks.length - 1 : codes[i], ink = any && !turn ? faint[at] : inks[at], shape = bad ? square : disc;
            for (var k = 0; k < shape.length; k += 2) {
              var row = y + shape[k + 1], column = x + shape[k];
              if (row >= 0 && column >= 0 && row < h && column < w) pixels[row * w + column] = ink;
            }
          }
        }
      }
      context.putImageData(image, 0, 0);
      if (lasso.length) {
        context.beginPath();
        for (var p = 0; p < lasso.length; p += 2) context.lineTo(lasso[p], lasso[p + 1]);
        context.lineWidth = 1.5 * ratio();
        context.strokeStyle = getComputedStyle(figure).getPropertyValue("color");
        context.setLineDash([5 * ratio(), 3 * ratio()]);
        context.stroke();
        context.setLineDash([]);
      }
      figure.dataset.took = (performance.now() - began).toFixed(1);
    }
    function later() { if (!timer) timer = requestAnimationFrame(function () { timer = 0; paint(); }); }
    function fit() {
      var width = Math.round(frame.clientWidth * ratio());
      if (!width) return;
      canvas.width = width;
      canvas.height = Math.round(Math.min(width, 620 * ratio()));
      later();
    }
    function zoom(by) { state.zoom = Math.max(1, Math.min(200, state.zoom * by)); if (state.zoom === 1) { state.cx = state.cy = 0.5; } later(); }
    function move(dx, dy) { state.cx += dx / state.zoom; state.cy += dy / state.zoom; later(); }
    function whole() { state.zoom = 1; state.cx = state.cy = 0.5; later(); }

    function choosePart(k) {
      for (var i = 0; i < n; i++) chosen[i] = codes[i] === k ? 1 : 0;
      tell();
    }
    function chooseView() {
      places();
      for (var i = 0; i < n; i++) { var x = px[i], y = py[i]; chosen[i] = x >= 0 && y >= 0 && x < canvas.width && y < canvas.height ? 1 : 0; }
      tell();
    }
    function chooseLasso() {
      if (lasso.length >= 6) for (var i = 0; i < n; i++) chosen[i] = inside(px[i], py[i], lasso) ? 1 : 0;
      lasso = [];
      tell();
    }

    // What is said of a choice
    function tell() {
      later();
      var some = [], c = state.condition, k = [0, 0], m = [0, 0];
      for (var i = 0; i < n; i++) {
        if (chosen[i]) some.push(i);
        if (right[c * n + i] <= 1) { m[1 - chosen[i]]++; if (!right[c * n + i]) k[1 - chosen[i]]++; }
      }
      report.replaceChildren(); detail.replaceChildren();
      said.textContent = some.length ? count(some.length, "image") + " chosen of " + n.toLocaleString("en") : "";
      if (!some.length) return;
      var lines = make("ul", {});
      if (m[0] && m[1]) {
        var d = newcombe(k[0], m[0], k[1], m[1]), a = wilson(k[0], m[0]);
        lines.append(make("li", { textContent: (c ? "Under " + data.conditions[c].title : "Unchanged") + ": " + percent(k[0] / m[0]) + " wrong in the choice ("
          + percent(a[0]) + " to " + percent(a[1]) + "), " + percent(k[1] / m[1]) + " of the others; difference "
          + points(d[0]) + " points (" + points(d[1]) + " to " + points(d[2]) + ", 95 %)." }));
      }
      enriched(some).forEach(function (one) { lines.append(make("li", { textContent: one })); });
      report.append(lines, make("p", { className: "small soft", textContent:
        "These intervals hold for a choice that was made before the answers were seen. A group that was found by looking is to be tried on other images." }));
      var name = make("input", { id: id + "name", value: "lasso", maxLength: 60 });
      report.append(make("div", { className: "controls" }, [
        make("div", {}, [make("label", { htmlFor: name.id, textContent: "Name of the slice" }), name]),
        button("Download CSV", function () { download(name.value); }), button("Copy the ids", function () { copy(some); }),
        pages && pages.dataset.save ? button("Save as a filter of the samples", function () { keep(name.value); }) : ""]));
      if (data.rest === null) report.append(make("p", { className: "small soft", textContent: "The file names the drawn images alone; draw all by --points." }));
      var list = make("ul", { className: "ids" });
      some.slice(0, LISTED).forEach(function (i) { list.append(make("li", {}, [button(data.ids[i], function () { open(i); })])); });
      report.append(make("details", {}, [make("summary", { textContent: some.length > LISTED ? "The first " + LISTED + " ids" : "Their ids" }), list]));
    }
    function enriched(some) {
      var found = [];
      function compare(name, parts, codes) {
        var here = new Map(), all = new Map(), known = 0, total = 0;
        for (var i = 0; i < n; i++) if (codes[i] >= 0) {
          total++; all.set(codes[i], (all.get(codes[i]) || 0) + 1);
          if (chosen[i]) { known++; here.set(codes[i], (here.get(codes[i]) || 0) + 1); }
        }
        if (!known || known === total) return;
        here.forEach(function (k, part) {
          var d = newcombe(k, known, all.get(part) - k, total - known);
          if (d[1] > 0) found.push([d[1], name + " = " + parts[part] + ": " + percent(k / known) + " of the choice, "
            + percent((all.get(part) - k) / (total - known)) + " of the others (" + points(d[1]) + " to " + points(d[2]) + " points more)."]);
        });
      }
      if (data.labelled) compare("class", data.classes, label);
      compare("predicted", data.classes, predicted.subarray(state.condition * n, state.condition * n + n));
      columns.forEach(function (one) { if (one.name !== "class") compare(one.name, one.parts, one.codes); });
      return found.sort(function (a, b) { return b[0] - a[0]; }).slice(0, 4).map(function (one) { return one[1]; });
    }
    function cell(text) {  // with an apostrophe where a spreadsheet would take it for a formula
      if (/^[=+@-]/.test(text) && isNaN(text)) text = "'" + text;
      return /[",\r\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
    }
    function csv(name) {
      var lines = ["id," + cell(name || "lasso")];
      for (var i = 0; i < n; i++) lines.push(cell(data.ids[i]) + (chosen[i] ? ",in" : ",out"));
      (data.rest || []).forEach(function (one) { lines.push(cell(one) + ","); });
      return lines.join("\n") + "\n";
    }
    function table() {  // every point with its place in each projection, what it is and what it was taken for
      var lines = [["id"].concat.apply(["id"], maps.map(function (m) { return [m.title + " x", m.title + " y"]; }))
        .concat(data.labelled ? ["class"] : [], columns.map(function (one) { return one.name; }),
          data.conditions.map(function (one) { return "predicted, " + one.title; })).map(cell).join(",")];
      for (var i = 0; i < n; i++) {
        var row = [data.ids[i]];
        maps.forEach(function (m) { row.push((m.x[i] / 65535).toFixed(5), (m.y[i] / 65535).toFixed(5)); });
        if (data.labelled) row.push(label[i] < 0 ? "" : data.classes[label[i]]);
        columns.forEach(function (one) { row.push(one.codes[i] < 0 ? "" : one.parts[one.codes[i]]); });
        for (var c = 0; c < C; c++) row.push(nameOf(predicted[c * n + i]));
        lines.push(row.map(cell).join(","));
      }
      return lines.join("\n") + "\n";
    }
    function download(name) {
      var link = make("a", { href: URL.createObjectURL(new Blob([csv(name)], { type: "text/csv" })), download: (name || "lasso").replace(/[^\w-]+/g, "-") + ".csv" });
      link.click();
      setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
    }
    function keep(name) {  // send the choice to the server: a bit for each point, in pieces that a form takes
      var bits = new Uint8Array(Math.ceil(n / 8)), sent = make("form", { method: "post", action: pages.dataset.save, hidden: true });
      for (var i = 0; i < n; i++) if (chosen[i]) bits[i >> 3] |= 128 >> (i & 7);
      var fields = [["form", pages.dataset.form], ["name", name || "lasso"], ["points", n]], text = "";
      bits.forEach(function (one) { text += String.fromCharCode(one); });
      btoa(text).match(/.{1,3000}/g).forEach(function (piece) { fields.push(["chosen", piece]); });
      fields.forEach(function (one) { sent.append(make("input", { type: "hidden", name: one[0], value: one[1] })); });
      document.body.append(sent);
      sent.submit();
    }
    function copy(some) {
      var text = some.map(function (i) { return data.ids[i]; }).join("\n"), box = make("textarea", { value: text, readOnly: true, rows: 6 });
      box.setAttribute("aria-label", "Ids of the chosen images");
      detail.replaceChildren(box);
      box.select();
      said.textContent = document.execCommand("copy") ? count(some.length, "id") + " copied" : "Copy the ids from the box below";
    }

    // One image
    function describe(i) {
      var c = state.condition, text = "predicted " + nameOf(predicted[c * n + i]);
      if (!c) text += " (" + confidence[i] + " %)";
      if (right[c * n + i] <= 1) text += right[c * n + i] ? ", right" : ", wrong: it is " + nameOf(label[i]);
      return text;
    }
    function nameOf(k) { return k >= 0 ? data.classes[k] : "no class"; }
    function open(i) {
      if (pages) { location.href = pages.dataset.samples + numbers[i]; return; }
      detail.replaceChildren();
      if (data.pictures[i]) detail.append(make("img", { src: data.pictures[i], alt: "Unchanged image of sample " + data.ids[i] }));
      detail.append(make("p", {}, [make("code", { textContent: data.ids[i] }), make("br", {}), describe(i),
        make("span", { className: "soft", textContent: data.pictures[i] ? "" : " (no picture of it was kept)" })]));
    }
    function nearest(x, y) {
      var best = -1, least = 14 * ratio() * 14 * ratio();
      for (var i = 0; i < n; i++) {
        var dx = px[i] - x, dy = py[i] - y, d = dx * dx + dy * dy;
        if (d < least) { least = d; best = i; }
      }
      return best;
    }
    function place(event) {
      var box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
    }
    canvas.addEventListener("pointerdown", function (event) {
      if (event.button) return;
      dragging = { at: place(event), moved: false, lasso: drawer.getAttribute("aria-pressed") === "true" };
      if (dragging.lasso || event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", function (event) {
      var at = place(event);
      if (!dragging) {
        var i = nearest(at[0], at[1]);
        tip.hidden = i < 0;
        canvas.style.cursor = i < 0 ? "crosshair" : "pointer";
        if (i < 0) return;
        tip.replaceChildren(make("code", { textContent: data.ids[i] }), make("br", {}), describe(i));
        var left = px[i] / ratio(), top = py[i] / ratio();
        tip.style.top = top + 12 + "px";
        tip.style.left = Math.max(0, Math.min(left + 12, frame.clientWidth - tip.offsetWidth)) + "px";
        return;
      }
      if (Math.hypot(at[0] - dragging.at[0], at[1] - dragging.at[1]) > 4 * ratio()) dragging.moved = true;
      if (!dragging.moved) return;
      tip.hidden = true;
      if (dragging.lasso) lasso.push(at[0], at[1]);
      else {
        state.cx += (dragging.at[0] - at[0]) / scale();
        state.cy += (at[1] - dragging.at[1]) / scale();
        dragging.at = at;
      }
      later();
    });
    canvas.addEventListener("pointerup", function (event) {
      if (!dragging) return;
      var was = dragging;
      dragging = null;
      if (was.moved) { if (was.lasso) chooseLasso(); return; }
      var at = place(event), i = nearest(at[0], at[1]);
      if (i >= 0) open(i);
    });
    canvas.addEventListener("pointercancel", function () { dragging = null; lasso = []; later(); });
    canvas.addEventListener("pointerleave", function () { tip.hidden = true; });
    canvas.addEventListener("wheel", function (event) {
      if (!event.ctrlKey && document.activeElement !== canvas) return;  // else the page could not be scrolled past it
      event.preventDefault();
      zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
    }, { passive: false });
    canvas.addEventListener("keydown", function (event) {
      var keys = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (keys[event.key]) move(keys[event.key][0], keys[event.key][1]);
      else if (event.key === "+" || event.key === "=") zoom(1.5);
      else if (event.key === "-") zoom(1 / 1.5);
      else if (event.key === "0") whole();
      else if (event.key === "Escape") { chosen.fill(0); tell(); }
      else return;
      event.preventDefault();
    });

    function refresh() {
      state.map = +mapBox[1].value; state.by = byBox[1].value; state.condition = +underBox[1].value;
      colour();
      showLegend();
      canvas.setAttribute("aria-label", "Map of " + count(n, "image") + " by " + maps[state.map].title + ", coloured by "
        + byBox[1].selectedOptions[0].textContent + ", under " + data.conditions[state.condition].title);
      tell();
    }
    refresh();
    new ResizeObserver(fit).observe(frame);
    fit();
    figure.map = { csv: csv, table: table, newcombe: newcombe, paint: paint };
  }
  document.querySelectorAll("[data-map]").forEach(draw);
})();
