// Buttons that save a plot: as SVG and PNG, as it stands on the screen, and as CSV, the data that it was drawn from.
(function () {
  "use strict";
  var ATTRIBUTES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "opacity",
    "font-family", "font-size", "font-weight", "text-anchor", "paint-order", "vector-effect", "display"];
  var SKIPPED = ".saves, .controls, .hidden, [hidden], script, noscript, textarea, .ids, div.chosen, .one, .tip, .help";
  var EDGE = 16, SHARP = 2, LARGEST = 8000, ASCENT = 0.79;

  function svgElement(name, attributes, inner) {
    var found = document.createElementNS(document.querySelector("svg").namespaceURI, name);
    for (var key in attributes) found.setAttribute(key, attributes[key]);
    if (inner) found.append(inner);
    return found;
  }
  // A copy of an SVG element whose look does not depend on the page's style
  function copied(svg) {
    var copy = svg.cloneNode(true), own = [svg].concat(Array.from(svg.querySelectorAll("*")));
    [copy].concat(Array.from(copy.querySelectorAll("*"))).forEach(function (one, k) {
      var style = getComputedStyle(own[k]);
      one.removeAttribute("class");
      if (one.tagName !== "title") ATTRIBUTES.forEach(function (name) { one.setAttribute(name, style.getPropertyValue(name)); });
    });
    var box = svg.getBoundingClientRect();
    place(copy, box);
    copy.setAttribute("overflow", "visible");
    return copy;
  }
  function place(one, box) {
    one.setAttribute("x", box.left); one.setAttribute("y", box.top);
    one.setAttribute("width", box.width); one.setAttribute("height", box.height);
    return one;
  }
  // The lines of a text as they are broken on the screen
  function written(node, into) {
    var style = getComputedStyle(node.parentElement), range = document.createRange(), line = null;
    var look = { fill: style.color, "font-family": style.fontFamily, "font-size": style.fontSize, "font-weight": style.fontWeight };
    if (style.writingMode.indexOf("vertical") === 0) {
      var box = node.parentElement.getBoundingClientRect(), x = box.left + ASCENT * box.width, y = box.bottom;
      look.transform = "translate(" + x + " " + y + ") rotate(-90)";
      into.append(svgElement("text", look, node.textContent.trim()));
      return;
    }
    for (var i = 0; i < node.length; i++) {
      range.setStart(node, i); range.setEnd(node, i + 1);
      var at = range.getClientRects()[0];
      if (!at || !at.width) continue;
      if (!line || Math.abs(at.top - line.top) > 2) {
        line = { top: at.top, text: document.createTextNode("") };
        into.append(svgElement("text", Object.assign({ x: at.left, y: at.top + ASCENT * at.height }, look), line.text));
      }
      line.text.data += node.data[i];
    }
  }
  function draw(element, into) {
    if (element.matches(SKIPPED)) return;
    var style = getComputedStyle(element), box = element.getBoundingClientRect();
    if (style.display === "none" || !box.width) return;
    if (element.tagName === "svg") { into.append(copied(element)); return; }
    if (element.tagName === "CANVAS") { into.append(place(svgElement("image", { href: element.toDataURL() }), box)); return; }
    if (!/^rgba\(.*, 0\)$|^transparent$/.test(style.backgroundColor) && !element.matches(".card"))
      into.append(place(svgElement("rect", { fill: style.backgroundColor, rx: parseFloat(style.borderRadius) || 0 }), box));
    element.childNodes.forEach(function (child) {
      if (child.nodeType === 1) draw(child, into);
      else if (child.nodeType === 3 && child.data.trim()) written(child, into);
    });
  }
  function picture(figure) {
    var inside = svgElement("g", {}), area = figure.querySelector("table") || figure;
    draw(figure, inside);
    var box = area.getBoundingClientRect(), edge = area === figure ? 0 : EDGE;
    var top = Math.min(box.top, figure.getBoundingClientRect().top + edge);
    var saves = figure.querySelector(".saves").getBoundingClientRect();
    var bottom = area === figure && saves.height ? saves.top + EDGE / 2 : box.bottom;
    var width = Math.ceil(box.width + 2 * edge), height = Math.ceil(bottom - top + 2 * edge);
    inside.setAttribute("transform", "translate(" + (edge - box.left) + " " + (edge - top) + ")");
    var keys = figure.parentNode.previousElementSibling;  // of a group of plots, shared by them
    if (keys && figure.matches(".plot") && keys.matches(".keys")) {
      inside = svgElement("g", {}, inside);
      keys.querySelectorAll("li").forEach(function (key) {
        var line = svgElement("g", {}), at = key.getBoundingClientRect();
        draw(key, line);
        line.setAttribute("transform", "translate(" + (EDGE - at.left) + " " + (height - at.top) + ")");
        inside.append(line);
        height += Math.ceil(at.height);
        width = Math.max(width, Math.ceil(at.width + 2 * EDGE));
      });
      height += EDGE;
    }
    var ground = svgElement("rect", { width: width, height: height, fill: getComputedStyle(figure).backgroundColor });
    var svg = svgElement("svg", { width: width, height: height, viewBox: "0 0 " + width + " " + height }, ground);
    svg.append(inside);
    return { text: new XMLSerializer().serializeToString(svg), width: width, height: height };
  }
  function save(blob, name) {
    var link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
  }
  function savePng(drawn, name) {
    var image = new Image(), canvas = document.createElement("canvas");
    var sharp = Math.min(SHARP, LARGEST / Math.max(drawn.width, drawn.height));
    image.onload = function () {
      canvas.width = drawn.width * sharp; canvas.height = drawn.height * sharp;
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(function (blob) { save(blob, name); }, "image/png");
    };
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(drawn.text);
  }

  document.querySelectorAll("[data-csv], [data-map]").forEach(function (figure) {
    var title = figure.querySelector("figcaption, caption").textContent.trim();
    var name = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "plot";
    var ways = {
      SVG: function () { save(new Blob([picture(figure).text], { type: "image/svg+xml" }), name + ".svg"); },
      PNG: function () { savePng(picture(figure), name + ".png"); },
      CSV: function () {
        var text = figure.dataset.csv === undefined ? figure.map.table() : figure.dataset.csv;
        save(new Blob([text], { type: "text/csv" }), name + ".csv");
      }
    };
    var box = document.createElement("div");
    box.className = "saves";
    Object.keys(ways).forEach(function (kind) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = kind;
      button.setAttribute("aria-label", "Save as " + kind + ": " + title);
      button.addEventListener("click", ways[kind]);
      box.append(button);
    });
    figure.append(box);
  });
})();
