// The outcomes of a sample in another run are fetched when its part of the page is opened.
// Without this script a link in it leads to the page with that part open.
"use strict";
for (const part of document.querySelectorAll("details[data-page]")) {
  part.addEventListener("toggle", async () => {
    const page = part.dataset.page;
    if (!part.open || !page) return;
    delete part.dataset.page;
    const answer = await fetch(page).catch(() => null);
    const there = answer && answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
    const rows = there && there.querySelector(`#${part.id} [data-rows]`);
    if (rows) {
      part.querySelector("[data-rows]").replaceChildren(...rows.childNodes);
      history.replaceState(null, "", `${page}#${part.id}`);
    } else part.dataset.page = page;  // the link stays
  });
}
