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

// Pieces that come after the page. An element with data-again="/address" and data-again-s="3" is asked for again until it no longer
// says so: what has its id in the answer takes its place. details[data-unfold="/address"]: its last child is filled when it opens.
async function fetchPiece(address) {
  const answer = await fetch(address, { headers: { "X-Piece": "1" } });
  if (answer.status === 401 || answer.headers.has("X-Reload")) window.location.reload(); // to sign in; or there is more to show
  const piece = document.createElement("template");
  piece.innerHTML = await answer.text();
  return { ok: answer.ok, content: piece.content };
}
function askAgain(node) {
  if (!node.dataset.again) return;
  setTimeout(async () => {
    let next = node;
    try {
      const piece = document.visibilityState === "visible" ? await fetchPiece(node.dataset.again) : { ok: false };
      if (piece.ok) next = piece.content.getElementById(node.id) || node;
    } catch (error) { /* the network is away: once more */ }
    if (next !== node) node.replaceWith(next);
    askAgain(next);
  }, 1000 * node.dataset.againS);
}
document.querySelectorAll("[data-again]").forEach(askAgain);
document.addEventListener("toggle", async (event) => {
  const fold = event.target;
  if (!fold.open || !fold.dataset.unfold) return;
  const address = fold.dataset.unfold;
  delete fold.dataset.unfold;
  try {
    fold.lastElementChild.replaceChildren((await fetchPiece(address)).content);
  } catch (error) {
    fold.dataset.unfold = address; // asked for when it is opened again
    fold.lastElementChild.textContent = "没有读到；合上再展开一次";
  }
}, true);
