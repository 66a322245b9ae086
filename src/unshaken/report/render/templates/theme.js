(function () {
  var root = document.documentElement, button = document.getElementById("theme");
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  function dark() { var set = root.getAttribute("data-theme"); return set ? set === "dark" : system.matches; }
  function show() { button.setAttribute("aria-pressed", String(dark())); }
  button.hidden = false;
  button.addEventListener("click", function () { root.setAttribute("data-theme", dark() ? "light" : "dark"); show(); });
  system.addEventListener("change", show);
  show();
})();
