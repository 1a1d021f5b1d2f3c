// Line numbers beside the rubric's text, the mistaken lines marked, the first in view. Without scripts the text is edited plainly.
"use strict";

(() => {
  const text = document.querySelector("[data-source]");
  const lines = document.querySelector("[data-lines]");
  if (!text || !lines) return;
  const mistakes = [...document.querySelectorAll("[data-to-line]")].map((button) => Number(button.dataset.toLine));
  const bad = new Set(mistakes);
  let shown = 0;

  function number() {
    const count = text.value.split("\n").length;
    if (count === shown) return;
    shown = count;
    lines.replaceChildren();
    let plain = [];
    for (let n = 1; n <= count; n += 1) {
      if (!bad.has(n)) { plain.push(n); continue; }
      const mark = document.createElement("b");
      mark.textContent = String(n);
      lines.append(plain.length ? `${plain.join("\n")}\n` : "", mark, n < count ? "\n" : "");
      plain = [];
    }
    lines.append(plain.join("\n"));
  }
  function goTo(line) {
    const height = parseFloat(getComputedStyle(text).lineHeight) || 18;
    text.scrollTop = Math.max(0, (line - 6) * height);
    const start = text.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    text.setSelectionRange(start, start);
  }
  number();
  text.addEventListener("input", number);
  text.addEventListener("scroll", () => { lines.scrollTop = text.scrollTop; });
  if (mistakes.length) goTo(mistakes[0]);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-to-line]");
    if (button) { goTo(Number(button.dataset.toLine)); text.focus(); }
  });
  const before = text.value;
  let leaving = false;
  text.form.addEventListener("submit", () => { leaving = true; });
  text.form.addEventListener("kept", () => { leaving = false; }); // it could not be sent
  window.addEventListener("beforeunload", (event) => { if (!leaving && text.value !== before) event.preventDefault(); });
})();
