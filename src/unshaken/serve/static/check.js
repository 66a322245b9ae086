// A form whose values change is checked anew: the parts of the page that depend on them come from the server.
// Without this script a button of the form does so.
"use strict";
(() => {
  const button = document.querySelector("[data-check]");
  if (!button) return;
  const form = button.form;
  let turn = 0;
  button.hidden = true;
  form.addEventListener("change", async () => {
    const own = ++turn;
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(button.formAction, { method: "POST", body }).catch(() => null);
    if (!answer || own !== turn) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (own !== turn) return;
    const focus = document.activeElement && document.activeElement.id;
    for (const part of form.querySelectorAll("[data-checked]")) {
      const found = page.querySelector(`[data-checked="${part.dataset.checked}"]`);
      if (found) part.replaceChildren(...found.childNodes);
    }
    const trouble = page.querySelector("[role=alert]");
    if (trouble) form.querySelector('[data-checked="estimate"]').textContent = trouble.textContent;
    const again = focus && document.getElementById(focus);
    if (again && document.activeElement !== again) again.focus();
  });
})();
