(function () {
  var root = document.documentElement, button = document.getElementById("theme");
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  function dark() { var set = root.getAttribute("data-theme"); return set ? set === "dark" : system.matches; }
  function show() { button.setAttribute("aria-pressed", String(dark())); }
  button.hidden = false;
  button.addEventListener("click", function () { root.setAttribute("data-theme", dark() ? "light" : "dark"); show(); });
  system.addEventListener("change", show);
  show();
  document.querySelectorAll(".overlay input").forEach(function (slider) {
    var box = slider.closest(".overlay");
    slider.parentNode.hidden = false;
    slider.addEventListener("input", function () { box.style.setProperty("--over", slider.value / 100); });
  });
})();
