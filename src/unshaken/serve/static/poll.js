// The progress of a job: asked for every two seconds; without this script a link loads the page again.
"use strict";
(() => {
  const root = document.querySelector("[data-poll]:not([data-ended])");
  if (!root) return;
  const bar = root.querySelector("progress");
  const ask = async () => {
    const answer = await fetch(root.dataset.poll).catch(() => null);
    if (answer && answer.ok) {
      const found = await answer.json();
      for (const place of root.querySelectorAll("[data-show]")) place.textContent = found[place.dataset.show] ?? "–";
      if (found.percent !== null) bar.value = found.percent;
      if (found.ended) return location.reload();
    } else if (answer) return;
    setTimeout(ask, 2000);
  };
  setTimeout(ask, 1000);
})();
