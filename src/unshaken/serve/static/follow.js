// A job at work: its state, figures and log as the server sends them; where no stream comes, its state is asked for.
// Without this script a link loads the page again.
"use strict";
(() => {
  const root = document.querySelector("[data-job]:not([data-ended])");
  if (!root) return;
  const [bar, log, figures, note] = ["progress", "[data-log]", "[data-figures]", "[data-note]"].map((s) => root.querySelector(s));
  const longest = 100000;
  const show = (found) => {
    for (const place of root.querySelectorAll("[data-show]")) place.textContent = found[place.dataset.show] ?? "–";
    if (found.percent !== null) bar.value = found.percent;
    if (found.ended) location.reload();
  };
  const ask = async () => {
    const answer = await fetch(`${root.dataset.job}/state`).catch(() => null);
    if (answer && answer.ok) {
      const found = await answer.json();
      log.textContent = found.messages;
      show(found);
      if (found.ended) return;
    } else if (answer) return;
    setTimeout(ask, 2000);
  };
  const stream = new EventSource(`${root.dataset.job}/events?after=${root.dataset.place}`);
  stream.addEventListener("log", (event) => {
    const down = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.textContent = (log.textContent + JSON.parse(event.data)).slice(-longest);
    if (down) log.scrollTop = log.scrollHeight;
  });
  stream.addEventListener("figures", (event) => {
    const found = JSON.parse(event.data);
    note.textContent = found.note;
    figures.closest("[data-part]").hidden = !found.figures.length;
    figures.replaceChildren(...found.figures.map((texts) => {
      const row = document.createElement("tr");
      row.append(...texts.map((text, k) => {
        const cell = document.createElement(k ? "td" : "th");
        if (k) cell.className = "num"; else cell.scope = "row";
        cell.textContent = text;
        return cell;
      }));
      return row;
    }));
  });
  stream.addEventListener("state", (event) => {
    const found = JSON.parse(event.data);
    if (found.ended) stream.close();
    show(found);
  });
  stream.addEventListener("error", () => { if (stream.readyState === EventSource.CLOSED) ask(); });
})();
