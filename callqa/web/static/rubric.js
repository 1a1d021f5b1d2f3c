// Line numbers beside the rubric's text, the mistaken line marked and in view. Without scripts the text is edited plainly.
"use strict";

(() => {
  const text = document.querySelector("[data-source]");
  const lines = document.querySelector("[data-lines]");
  if (!text || !lines) return;
  const mistake = document.getElementById("rb-mistake");
  const bad = mistake ? Number(mistake.dataset.line) : 0;
  let shown = 0;

  function number() {
    const count = text.value.split("\n").length;
    if (count === shown) return;
    shown = count;
    lines.replaceChildren();
    const before = Array.from({ length: bad ? Math.min(bad - 1, count) : count }, (_, i) => i + 1).join("\n");
    lines.append(before);
    if (!bad || bad > count) return;
    const mark = document.createElement("b");
    mark.textContent = String(bad);
    lines.append(before ? "\n" : "", mark, "\n", Array.from({ length: count - bad }, (_, i) => bad + 1 + i).join("\n"));
  }
  number();
  text.addEventListener("input", number);
  text.addEventListener("scroll", () => { lines.scrollTop = text.scrollTop; });
  if (bad) {
    const height = parseFloat(getComputedStyle(text).lineHeight) || 18;
    text.scrollTop = Math.max(0, (bad - 6) * height);
    const start = text.value.split("\n").slice(0, bad - 1).join("\n").length + (bad > 1 ? 1 : 0);
    text.setSelectionRange(start, start);
  }
  const before = text.value;
  let leaving = false;
  text.form.addEventListener("submit", () => { leaving = true; });
  window.addEventListener("beforeunload", (event) => { if (!leaving && text.value !== before) event.preventDefault(); });
})();
