// Suggested amounts: each fills the field that it is for.
for (const group of document.querySelectorAll("[data-fills]")) {
  const field = document.getElementById(group.dataset.fills);
  group.hidden = false;
  group.addEventListener("click", (event) => {
    if (!event.target.value) return;
    field.value = event.target.value;
    field.focus();
  });
}

// An order's page looks whether something has changed, politely: less and less often, not while nobody sees it,
// and not for ever. It is read anew once when something has. It leads on to the payment by itself only in the tab in
// which it was ordered, and once: who comes back from there, by whatever way, may have paid and must not pay twice.
(() => {
  "use strict";
  const place = document.querySelector("[data-watch]");
  if (!place) return;
  const FIRST_MS = 1500;
  const LAST_MS = 30_000;
  const GIVE_UP_MS = 30 * 60_000;
  const opened = Date.now();
  let wait = FIRST_MS;

  try {
    const mark = `top-up:${place.dataset.order}`;
    const from = document.referrer && new URL(document.referrer).pathname;
    if (from === place.dataset.form && !sessionStorage.getItem(mark)) sessionStorage.setItem(mark, "ordered");
    const pay = document.querySelector("[data-pay]");
    if (pay && sessionStorage.getItem(mark) === "ordered") {
      sessionStorage.setItem(mark, "led on");
      location.assign(pay.href);
      return;
    }
  } catch {
    // No storage: the link is there.
  }

  const again = () => setTimeout(look, wait);
  const note = document.querySelector("[data-watching]");
  if (note) note.hidden = false;
  const stop = () => {
    if (note) note.hidden = true;
  };

  const look = async () => {
    if (Date.now() - opened > GIVE_UP_MS) return stop();
    if (document.visibilityState === "hidden") {
      document.addEventListener("visibilitychange", look, { once: true });
      return;
    }
    wait = Math.min(wait * 1.4, LAST_MS);
    try {
      const answer = await fetch(place.dataset.watch, {
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout(10_000),
      });
      if (answer.status === 429 || answer.status >= 500) return again();
      if (!answer.ok || answer.redirected) return stop();
      const { fingerprint } = await answer.json();
      if (fingerprint !== place.dataset.seen) return location.reload();
    } catch {
      // Offline or cut off: the next look may do better.
    }
    again();
  };
  again();
})();
