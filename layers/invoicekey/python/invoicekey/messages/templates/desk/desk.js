// Copies a key with a click, and shows the result of a look when it is there. Everything else works without a script.
"use strict";
// The list's keys get their buttons here: in its HTML they would weigh more than all the rest.
const rows = document.querySelector("[data-copy]");
for (const [place, key] of document.querySelectorAll(".rows code").entries()) {
  key.id = `key-${place}`;
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "copy", textContent: rows.dataset.copy });
  Object.assign(button.dataset, { copies: key.id, copied: rows.dataset.copied });
  key.after(button);
}
for (const button of document.querySelectorAll("[data-copies]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
    button.textContent = button.dataset.copied;
  });
}
const checking = document.querySelector("[data-checking]");
if (checking) {
  const until = Date.now() + 120_000;
  const look = async () => {
    try {
      const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
      if (!page.querySelector("[data-checking]") && page.querySelector("h1")) {
        location.reload();
        return;
      }
    } catch {
      // The next look may find the way.
    }
    if (Date.now() < until) setTimeout(look, 1500);
  };
  setTimeout(look, 1500);
}
const all = document.querySelector("[data-all]");
if (all) {
  const boxes = [...document.querySelectorAll("[name=order]")];
  const box = all.querySelector("input");
  all.hidden = !boxes.length;
  const count = () => {
    const chosen = boxes.filter((one) => one.checked).length;
    box.checked = chosen === boxes.length;
    box.indeterminate = 0 < chosen && chosen < boxes.length;
  };
  box.addEventListener("change", () => boxes.forEach((one) => (one.checked = box.checked)));
  boxes.forEach((one) => one.addEventListener("change", count));
  count();
}
