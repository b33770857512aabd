// The acts of a case by one key each. Without it every act is a button.
(() => {
  const acts = [...document.querySelectorAll("#case-keys [data-key]")];
  const isTyping = (target) => target.closest("input, select, textarea, [contenteditable], dialog") !== null;

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const act = acts.find((one) => one.dataset.key === event.key);
    if (!act) return;
    event.preventDefault();
    act.click();
  });
})();
