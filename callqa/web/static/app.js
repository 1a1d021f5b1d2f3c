// Small comforts of every page; each page works without them.
"use strict";

// Forms that ask before they act: <form data-confirm="…">.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset ? event.target.dataset.confirm : undefined;
  if (event.target.dataset && event.target.dataset.asked) return; // kept.js sends it once more, the question is answered
  if (question && !window.confirm(question)) event.preventDefault();
});

// Filters that act on change: <form data-auto>.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (form && event.target.matches("select, input[type=checkbox], input[type=month], input[type=date]")) form.requestSubmit();
});

// Whole rows that open their first link: <tr data-href="…">.
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-href]");
  if (!row || event.target.closest("a, button, input, select, label, summary")) return;
  if (window.getSelection().toString()) return;
  if (event.metaKey || event.ctrlKey) window.open(row.dataset.href, "_blank", "noopener");
  else window.location.href = row.dataset.href;
});

// Ages that grow: <span data-since="UTC ms">; the server's clock is read from <body data-now> when given.
function sayAge(ms) {
  const total = Math.max(0, Math.round(ms / 1000));
  const h = Math.floor(total / 3600), m = Math.floor((total % 3600) / 60), s = total % 60;
  const two = (n) => String(n).padStart(2, "0");
  if (h) return `${h}小时${two(m)}分${two(s)}秒`;
  return m ? `${m}分${two(s)}秒` : `${s}秒`;
}
function tickAges() {
  document.querySelectorAll("[data-since]").forEach((node) => {
    const board = node.closest("[data-server-now]");
    const skew = board ? Number(board.dataset.skew || 0) : 0;
    node.textContent = sayAge(Date.now() + skew - Number(node.dataset.since));
  });
}
if (document.querySelector("[data-live], [data-since]")) setInterval(tickAges, 1000);

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) window.print();
});
