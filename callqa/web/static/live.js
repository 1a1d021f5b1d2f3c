// The live board: server-sent events bring ready-made HTML. When the stream breaks, the board is greyed and says so.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector("[data-live]");
  if (!box || !window.EventSource) return;
  const mark = document.querySelector("[data-live-state]");
  const say = (tone, text) => {
    mark.hidden = false;
    mark.firstElementChild.className = `cq-dot cq-dot-${tone}`;
    mark.lastElementChild.textContent = text;
  };
  const setSkew = () => {
    const board = box.querySelector("[data-server-now]");
    if (board) board.dataset.skew = String(Number(board.dataset.serverNow) - Date.now());
  };
  setSkew();
  let last = "";
  const stream = new EventSource(box.dataset.live);
  stream.addEventListener("board", (event) => {
    box.classList.remove("cq-stale");
    const alive = event.data.includes("data-server-now");
    say(alive ? "good" : "bad", alive ? "实时更新" : "录音服务未连接");
    const held = box.contains(document.activeElement) && document.activeElement.matches("select");
    const body = event.data.replace(/data-server-now="\d+"/, "").replace(/data-board-at>[^<]*/, "");
    if (held) return; // somebody is choosing in a list: the next board will do
    if (body !== last || !box.firstElementChild) { box.innerHTML = event.data; last = body; }
    setSkew();
    tickAges();
  });
  stream.addEventListener("error", () => {
    box.classList.add("cq-stale");
    say("wait", stream.readyState === EventSource.CLOSED ? "连接已断开，请刷新页面" : "正在重新连接");
  });
});
