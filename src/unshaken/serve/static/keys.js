// The keyboard, for pages that work without it: every action here is a link or a form of the page.
"use strict";
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // A screen reader speaks what changes in a live region, not what it holds when the page is loaded.
  const status = one("#status");
  if (status && status.textContent) {
    const message = status.textContent;
    status.textContent = "";
    setTimeout(() => { status.textContent = message; }, 80);
  }

  // Single letters as keys can be switched off, for speech input and for keyboards that press them by accident.
  const toggle = one("[data-toggle-keys]");
  const keysAreOn = () => localStorage.getItem("keys") !== "off";
  const show = () => {
    if (toggle) toggle.setAttribute("aria-pressed", String(keysAreOn()));
    document.documentElement.classList.toggle("letters", keysAreOn());
  };
  if (toggle) {
    toggle.hidden = false;
    toggle.addEventListener("click", () => { localStorage.setItem("keys", keysAreOn() ? "off" : "on"); show(); });
  }
  show();

  let leaving = false;  // a second key while the next page loads does nothing
  addEventListener("submit", () => { leaving = true; });
  addEventListener("pageshow", () => { leaving = false; });

  const act = (element) => {
    if (element.matches("input, select, textarea")) {
      const closed = element.closest("details:not([open])");
      if (closed) closed.open = true;
      element.focus();
      if (element.matches("[type=radio], [type=checkbox]")) element.click();
      else if (element.select) element.select();
    } else {
      if (element.matches("a")) leaving = true;
      if (element.matches("summary")) element.focus();
      element.click();
    }
  };

  const cells = () => all("[data-grid] a");
  const move = (key) => {
    const links = cells();
    if (!links.length) return false;
    const at = links.indexOf(document.activeElement);
    const top = links[0].getBoundingClientRect().top;
    const columns = links.filter((link) => Math.abs(link.getBoundingClientRect().top - top) < 2).length;
    const step = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1, ArrowDown: columns, ArrowUp: -columns }[key];
    if (!step) return false;
    const to = at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + step));
    links[to].focus();
    links[to].scrollIntoView({ block: "nearest" });
    return true;
  };

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const typing = target.matches("input:not([type=radio]):not([type=checkbox]), select, textarea");
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (typing || leaving) {
      if (typing && event.key === "Escape" && !event.defaultPrevented) target.blur();
      return;
    }
    if (event.key.length === 1 && !keysAreOn()) return;
    if (event.key.startsWith("Arrow") && target.matches("[type=radio], .scroll")) return;
    const key = event.key === " " ? "Space" : event.key;
    const wanted = all("[data-key]").find((e) => e.dataset.key.split(" ").includes(key) && !e.disabled);
    if (wanted) {
      event.preventDefault();
      act(wanted);
    } else if (move(event.key)) {
      event.preventDefault();
    }
  });

  // The search for a class: a combobox with a list of the names that match.
  all("input[data-classes]").forEach((input, number) => {
    const list = document.createElement("ul");
    list.id = `classes-${number}`;
    list.className = "matches";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Matching classes");
    list.hidden = true;
    input.after(list);
    const attributes = { role: "combobox", autocomplete: "off", "aria-autocomplete": "list", "aria-controls": list.id };
    Object.entries(attributes).forEach(([name, value]) => input.setAttribute(name, value));
    let at = -1, asked = 0, answer = Promise.resolve();

    const mark = (to) => {
      at = to;
      [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === at)));
      if (at >= 0) {
        input.setAttribute("aria-activedescendant", list.children[at].id);
        list.children[at].scrollIntoView({ block: "nearest" });
      } else input.removeAttribute("aria-activedescendant");
    };
    const open = (yes) => {
      list.hidden = !yes;
      input.setAttribute("aria-expanded", String(yes));
      if (!yes) mark(-1);
    };
    const pick = (item) => { input.value = item.dataset.value; open(false); };
    const search = async () => {
      const turn = ++asked, words = input.value.trim();
      if (!words) return open(false);
      const response = await fetch(`${input.dataset.classes}?q=${encodeURIComponent(words)}`).catch(() => null);
      if (turn !== asked || !response || !response.ok) return;
      const names = await response.json();
      if (turn !== asked) return;
      list.replaceChildren(...names.map((name, i) => {
        const item = document.createElement("li");
        item.id = `${list.id}-${i}`;
        item.setAttribute("role", "option");
        item.dataset.value = item.textContent = name;
        item.addEventListener("mousedown", (event) => { event.preventDefault(); pick(item); });
        return item;
      }));
      open(names.length > 0);
      if (names.length) mark(0);
    };
    open(false);
    input.addEventListener("input", () => { answer = search(); });
    input.addEventListener("blur", () => { asked += 1; open(false); });
    input.addEventListener("keydown", async (event) => {
      const shown = !list.hidden, last = list.children.length - 1;
      if (event.key === "ArrowDown" && shown) { event.preventDefault(); mark(at === last ? 0 : at + 1); }
      else if (event.key === "ArrowUp" && shown) { event.preventDefault(); mark(at <= 0 ? last : at - 1); }
      else if (event.key === "Escape" && shown) { event.preventDefault(); open(false); }
      else if (event.key === "Enter" && input.value.trim() && !event.isComposing) {
        event.preventDefault();
        await answer;
        const chosen = list.hidden ? null : list.children[at];
        if (chosen) pick(chosen);
        if (!chosen || input.hasAttribute("data-submit")) input.form.requestSubmit();
      }
    });
  });

  // The picture of the next item is fetched while this one is judged.
  const ahead = one("[data-ahead]");
  if (ahead) addEventListener("load", () => { new Image().src = ahead.dataset.ahead; });
})();
