// Behaviour shared by all pages. Every page works without it.
(() => {
  "use strict";
  const root = document.documentElement;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  // The theme switch: shown once it works, remembered, and announced to the charts.
  for (const button of document.querySelectorAll("[data-theme-switch]")) {
    const tell = () => button.setAttribute("aria-pressed", String(isDark()));
    button.hidden = false;
    tell();
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try {
        localStorage.setItem("theme", root.dataset.theme);
      } catch {
        // Not remembered, but switched.
      }
      tell();
      document.dispatchEvent(new Event("themechange"));
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new Event("themechange"));
  });

  // Menus close when one clicks elsewhere or presses Escape.
  const menus = document.querySelectorAll("details.menu");
  document.addEventListener("click", (event) => {
    for (const menu of menus) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of menus) {
      if (!menu.open) continue;
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // Copy buttons: data-copy names the element whose value or text is taken.
  for (const button of document.querySelectorAll("[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("[data-copy-label]") ?? button;
    const before = label.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = source.value ?? source.textContent;
      try {
        await navigator.clipboard.writeText(text);
        label.textContent = "Copied";
      } catch {
        // Plain http on another host has no clipboard: select it, so that one key press does the rest.
        if (source.select) source.select();
        else getSelection().selectAllChildren(source);
        label.textContent = "Press Ctrl+C";
      }
      setTimeout(() => (label.textContent = before), 2000);
    });
  }

  // A page shown once: reloading it goes to where the object lives, instead of sending the form again.
  const once = document.querySelector("[data-reload-url]");
  if (once) history.replaceState(null, "", once.dataset.reloadUrl);

  // A form is sent once: what follows a second press is the answer to the second, and hides that of the first.
  const SENT_MS = 10_000;
  const sent = new WeakMap();
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (Date.now() - (sent.get(event.target) ?? -Infinity) < SENT_MS) event.preventDefault();
    else sent.set(event.target, Date.now());
  });
  addEventListener("pageshow", () => {
    for (const form of document.forms) sent.delete(form);
  });

  // A form that came back is gone on with where it is wrong.
  const wrong = document.querySelector("form :is(.nonfield, [role=alert], [aria-invalid=true])");
  if (wrong) {
    if (wrong.tabIndex < 0) wrong.tabIndex = -1;
    wrong.focus();
  }

  // Selects that send their form.
  for (const select of document.querySelectorAll("select[data-submits]")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }

  // A filter over a long list of check boxes.
  for (const input of document.querySelectorAll("[data-filters]")) {
    const items = document.getElementById(input.dataset.filters).querySelectorAll(".check");
    input.hidden = false;
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      for (const item of items) item.hidden = !item.textContent.toLowerCase().includes(wanted);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
  }

  // The active tab of a strip that scrolls is brought into sight.
  const strip = document.querySelector(".side > .nav");
  const active = strip?.querySelector("[aria-current]");
  if (active && strip.scrollWidth > strip.clientWidth) strip.scrollLeft = active.offsetLeft - 40;
})();
