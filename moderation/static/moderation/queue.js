// The queue by keyboard. Without it everything is a link.
(() => {
  const rows = [...document.querySelectorAll("#queue [data-row]")];
  const tabs = [...document.querySelectorAll('nav[aria-label="Whose cases"] a')];
  let at = -1;

  const isTyping = (target) => target.closest("input, select, textarea, button, [contenteditable], dialog") !== null;

  const go = (step) => {
    if (!rows.length) return;
    rows[at]?.removeAttribute("aria-current");
    at = Math.min(Math.max(at + step, 0), rows.length - 1);
    rows[at].setAttribute("aria-current", "true");
    rows[at].querySelector("[data-open]").focus();
    rows[at].scrollIntoView({ block: "nearest" });
  };

  const follow = (link) => link && link.click();

  const keys = {
    j: () => go(1),
    k: () => go(-1),
    a: () => follow(rows[at]?.querySelector("[data-take]")),
    m: () => follow(tabs[0]),
    n: () => follow(tabs[1]),
    e: () => follow(tabs[2]),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
})();
