// The pictures of a sample are enlarged and moved together, so that the same place of each is seen.
// Without this script each picture is a link to itself.
"use strict";
(() => {
  const group = document.querySelector("[data-zoom]"), bar = document.querySelector("[data-zoom-bar]");
  if (!group || !bar) return;
  const largest = 16;
  let scale = 1, x = 0, y = 0, drag = null;  // x and y are shares of a picture's side
  bar.hidden = false;
  const show = () => {
    const most = (scale - 1) / 2;
    [x, y] = [x, y].map((v) => Math.max(-most, Math.min(most, v)));
    for (const picture of group.querySelectorAll("img")) {
      picture.style.transform = scale === 1 ? "" : `translate(${100 * x}%,${100 * y}%) scale(${scale})`;
    }
    group.style.touchAction = scale === 1 ? "" : "none";
    bar.querySelector("output").textContent = `${scale}×`;
  };
  const zoom = (factor) => {
    const before = scale;
    scale = factor ? Math.max(1, Math.min(largest, scale * factor)) : 1;
    x *= scale / before;
    y *= scale / before;
    show();
  };
  const steps = { "+": 2, "=": 2, "-": 0.5, "0": 0 };
  const ways = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  for (const button of bar.querySelectorAll("button")) button.addEventListener("click", () => zoom(steps[button.value]));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select, textarea, .scroll")) return;
    const letters = localStorage.getItem("keys") !== "off";
    if (letters && event.key in steps) zoom(steps[event.key]);
    else if (scale > 1 && event.key in ways) {
      const [right, down] = ways[event.key];
      x += right / 4;
      y += down / 4;
      show();
    } else return;
    event.preventDefault();
    event.stopImmediatePropagation();  // while enlarged, arrows do not lead to the next sample
  }, true);
  group.addEventListener("pointerdown", (event) => {
    const picture = event.target.closest("a");
    if (scale > 1 && picture && event.isPrimary) drag = { at: event, side: picture.clientWidth, moved: false };
  });
  addEventListener("pointermove", (event) => {
    if (!drag || !event.isPrimary) return;
    const [right, down] = [event.clientX - drag.at.clientX, event.clientY - drag.at.clientY];
    drag = { ...drag, at: event, moved: drag.moved || right !== 0 || down !== 0 };
    x += right / drag.side;
    y += down / drag.side;
    show();
  });
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => setTimeout(() => { drag = null; }));
  group.addEventListener("dragstart", (event) => event.preventDefault());
  group.addEventListener("click", (event) => {
    if (!event.target.closest("a") || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (!drag || !drag.moved) zoom(scale < largest ? 2 : 0);
  });
})();
