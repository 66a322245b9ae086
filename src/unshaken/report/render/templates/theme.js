(function () {
  var root = document.documentElement, button = document.getElementById("theme");
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  function dark() { var set = root.getAttribute("data-theme"); return set ? set === "dark" : system.matches; }
  function show() { button.setAttribute("aria-pressed", String(dark())); }
  button.hidden = false;
  button.addEventListener("click", function () { root.setAttribute("data-theme", dark() ? "light" : "dark"); show(); });
  system.addEventListener("change", show);
  show();
  var all = document.getElementById("unfold"), parts = document.querySelectorAll("details");
  var shut = [];
  function reveal() {
    var target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (var box = target && target.closest("details"); box; box = box.parentNode.closest("details")) box.open = true;
    if (target) target.scrollIntoView();
  }
  window.addEventListener("hashchange", reveal);
  reveal();
  window.addEventListener("beforeprint", function () {
    shut = Array.prototype.filter.call(parts, function (one) { return !one.open; });
    shut.forEach(function (one) { one.open = true; });
  });
  window.addEventListener("afterprint", function () { shut.forEach(function (one) { one.open = false; }); });
  all.hidden = !parts.length;
  all.addEventListener("click", function () {
    var open = all.getAttribute("aria-pressed") !== "true";
    parts.forEach(function (one) { one.open = open; });
    all.setAttribute("aria-pressed", String(open));
  });
  document.querySelectorAll(".overlay input").forEach(function (slider) {
    var box = slider.closest(".overlay");
    slider.parentNode.hidden = false;
    slider.addEventListener("input", function () { box.style.setProperty("--over", slider.value / 100); });
  });
})();
