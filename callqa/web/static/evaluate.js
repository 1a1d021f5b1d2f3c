// Comfort for the scoring form. The form works without it; this adds: the playhead's time as evidence, acceptance that ticks its
// option, a live score, autosave with version, keys, and elapsed time. It never sends what the person did not choose.
// Loaded before player.js, so that its "?" wins; all other keys of the two are different.
"use strict";

(() => {
  const form = document.getElementById("ev-form");
  if (!form) return;
  const mode = form.dataset.mode; // edit | revise | read
  const editable = mode !== "read";
  const version = form.elements.version;
  const elapsed = form.elements.elapsed_ms;
  const saved = document.getElementById("ev-saved");
  const conflict = document.getElementById("ev-conflict");
  const items = [...form.querySelectorAll("[data-item]")];
  const AUTOSAVE_AFTER_MS = 600; // of rest
  const AUTOSAVE_WITHIN_MS = 900; // of the first change, however one goes on typing
  const AGAIN_AFTER_MS = 2000; // what could not be saved
  const ANSWER_WITHIN_MS = 15000;

  const clock = (ms) => {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  const playhead = () => {
    const root = document.querySelector("[data-player]");
    return root && root.callPlayer ? root.callPlayer.positionMs : 0;
  };
  const boxes = (item) => [...item.querySelectorAll(".ev-pill input")];
  const changed = (node) => node.dispatchEvent(new Event("change", { bubbles: true }));

  // ---- choices -------------------------------------------------------------------------------------------------

  function takeTime(row, ms) {
    const field = row.querySelector(".ev-at");
    if (field && !field.value) field.value = clock(ms);
  }

  // Accepting ticks the option as often as the machine counted, with its place and reason; rejecting takes it back.
  function decide(box, accepted) {
    const name = box.dataset.fatal ? `f:${box.dataset.place}` : `d:${box.dataset.place}:${box.dataset.code}`;
    const tick = form.elements[name];
    if (!tick || (!box.dataset.code && !box.dataset.fatal)) return;
    const others = sameOption(box).filter((other) => other !== box && other.querySelector('input[value="accepted"]').checked);
    tick.checked = accepted || others.length > 0;
    const times = box.dataset.fatal ? null : form.elements[`t:${box.dataset.place}:${box.dataset.code}`];
    if (times && !accepted && Number(times.value) === timesOf([...others, box], times)) times.value = String(timesOf(others, times));
    if (!accepted) return;
    const na = form.elements[`na:${box.dataset.place}`];
    if (na) na.checked = false;
    const row = tick.closest(".ev-option");
    if (times && Number(times.value) < timesOf([...others, box], times)) times.value = String(timesOf([...others, box], times));
    if (box.dataset.at !== "") takeTime(row, Number(box.dataset.at));
    const note = row.querySelector(".ev-note");
    const words = box.dataset.fatal ? box.dataset.quote || box.dataset.reason : box.dataset.reason;
    if (note && !note.value) note.value = words;
  }
  function sameOption(box) {
    return [...form.querySelectorAll("[data-suggestion]")].filter((other) => other.dataset.place === box.dataset.place && other.dataset.code === box.dataset.code);
  }
  // How often an option counts: preselected suggestions add up, a hint counts where it says more (usecases/evaluate_input.times_of).
  function timesOf(accepted, select) {
    const counts = (level) => accepted.filter((box) => (box.dataset.level === "preselect") === level).map((box) => Number(box.dataset.times));
    const sure = counts(true).reduce((sum, n) => sum + n, 0);
    return Math.max(1, Math.min(select.options.length, Math.max(sure, ...counts(false))));
  }
  // A deduction taken back also takes back the acceptance that made it.
  function withdraw(tick) {
    const key = tick.closest(".ev-option").dataset.key;
    for (const box of form.querySelectorAll("[data-suggestion]")) {
      const own = box.dataset.fatal ? box.dataset.place : `${box.dataset.place}:${box.dataset.code}`;
      if (own === key && box.querySelector('input[value="accepted"]').checked) box.querySelector('input[value="rejected"]').checked = true;
    }
  }
  function clearItem(item) {
    for (const tick of boxes(item)) if (tick.checked) { tick.checked = false; withdraw(tick); }
  }

  // A number chosen with the mouse gives the keys back; with the keyboard one may go on choosing.
  let byMouse = false;
  form.addEventListener("pointerdown", () => { byMouse = true; });
  form.addEventListener("keydown", () => { byMouse = false; });
  form.addEventListener("change", (event) => {
    const t = event.target;
    if (t.matches("select") && byMouse) t.closest("[data-item]").focus({ preventScroll: true });
    if (t.matches('[type="radio"]')) decide(t.closest("[data-suggestion]"), t.value === "accepted");
    else if (t.matches('[name^="na:"]') && t.checked) clearItem(t.closest("[data-item]"));
    else if (t.matches(".ev-pill input")) {
      if (t.checked) takeTime(t.closest(".ev-option"), playhead());
      else withdraw(t);
    }
    touch();
  });
  form.addEventListener("input", (event) => {
    if (event.target.matches('input:not([type="checkbox"]):not([type="radio"]), textarea')) touch();
    if (event.target.name === "c_text") growComments();
  });
  form.addEventListener("click", (event) => {
    const take = event.target.closest("[data-take]");
    if (take) { take.closest(".ev-option").querySelector(".ev-at").value = clock(playhead()); touch(); }
    if (event.target.closest("[data-to-missing]")) toMissing();
    // After a click with the mouse the keys are the player's and the item's again, Space included: it takes no choice back.
    const clicked = event.detail > 0 && event.target.closest("[data-play-from], .ev-pill, .ev-choice, .ev-na, .ev-take, summary");
    const item = clicked && clicked.closest("[data-item]");
    if (item) setTimeout(() => item.focus({ preventScroll: true })); // a label gives its box the focus only after this
  });
  function growComments() {
    const rows = [...form.querySelectorAll(".ev-comment")];
    const last = rows[rows.length - 1];
    if (!last.querySelector('[name="c_text"]').value) return;
    const fresh = last.cloneNode(true);
    fresh.querySelectorAll("input").forEach((field) => { field.value = ""; });
    last.after(fresh);
  }
  function toMissing() {
    form.classList.add("ev-tried");
    const first = items.find((item) => item.querySelector(".ev-missing:not(:empty)"));
    if (first) activate(first);
  }

  // ---- live score and autosave ---------------------------------------------------------------------------------

  let dirty = false;
  let dirtySince = 0;
  let leaving = false;
  let stopped = false; // after a conflict nothing is saved by itself
  let timer = 0;
  let running = null;
  let again = false;
  let seenAt = Date.now();
  let spent = Number(elapsed.value || 0); // milliseconds this page was in view

  function count() {
    const now = Date.now();
    if (document.visibilityState === "visible") spent += Math.min(now - seenAt, 5000);
    seenAt = now;
    elapsed.value = String(Math.round(spent));
  }
  function touch() {
    const now = Date.now();
    if (!dirty || !dirtySince) dirtySince = now;
    dirty = true;
    clearTimeout(timer);
    timer = setTimeout(update, Math.max(0, Math.min(AUTOSAVE_AFTER_MS, dirtySince + AUTOSAVE_WITHIN_MS - now)));
  }
  function later() {
    dirty = true;
    clearTimeout(timer);
    timer = setTimeout(update, AGAIN_AFTER_MS);
  }
  function update() {
    if (running) { again = true; return running; }
    running = work().finally(() => {
      running = null;
      if (again) { again = false; touch(); }
    });
    return running;
  }
  const send = (address, body, headers) => fetch(address, { method: "POST", body, headers, redirect: "manual", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  async function work() {
    count();
    const body = new URLSearchParams(new FormData(form));
    const saves = mode === "edit" && !stopped;
    dirty = false;
    dirtySince = 0;
    const standing = showStanding(body).catch(() => {}); // the saving says what is wrong
    if (saves) await autosave(body);
    else dirty = true;
    await standing;
  }
  async function showStanding(body) {
    const answer = await send(form.dataset.preview, body);
    if (!answer.ok) return;
    const piece = document.createElement("template");
    piece.innerHTML = await answer.text();
    for (const part of piece.content.querySelectorAll("[data-live]")) {
      const old = document.getElementById(part.id);
      if (old) old.replaceWith(part);
    }
  }
  async function autosave(body) {
    let answer, text;
    try {
      answer = await send(form.action, body, { "X-Autosave": "1" });
      text = answer.type === "opaqueredirect" ? "" : (await answer.text()).trim();
    } catch (error) { notSaved("away"); return; }
    if (answer.ok && /^\d+$/.test(text)) {
      version.value = text;
      callqaKept.clear();
      say(`暂存于 ${new Date().toLocaleTimeString("zh-CN", { hour12: false })}`, false);
      return;
    }
    dirty = true;
    if (answer.status === 409 && /^\d+$/.test(text)) {
      stopped = true;
      conflict.hidden = false;
      conflict.querySelector('[name="onto"]').value = text;
      say("未暂存：已在别处保存过", true);
    } else if (answer.status === 422) say(`未暂存：${text}`, true);
    else {
      const state = callqaKept.stateOf(answer);
      notSaved(state === "here" ? await callqaKept.ask() : state);
    }
  }
  // Told beside the form, and tried again: what was typed is nowhere but here.
  function notSaved(state) {
    later();
    if (state === "here") { say("未暂存：这份评分现在不能保存，请先抄下填写的内容，再刷新页面", true); return; }
    say(`未暂存：${callqaKept.WHY[state]}，稍后自动再试`, true);
    if (state === "out" || state === "other") callqaKept.tell(state, "没有暂存");
  }
  function say(text, bad) {
    saved.textContent = text;
    saved.classList.toggle("bad", bad);
  }

  form.addEventListener("submit", (event) => {
    clearTimeout(timer);
    if (running) { // let the autosave finish: it holds the version that this one must follow
      event.preventDefault();
      const button = event.submitter;
      running.then(() => form.requestSubmit(button));
      return;
    }
    count();
    leaving = true;
  });
  form.addEventListener("kept", () => { // it could not be sent
    leaving = false;
    later();
  });
  window.addEventListener("online", () => { if (dirty) update(); });
  window.addEventListener("beforeunload", (event) => { if ((dirty || running) && !leaving) event.preventDefault(); });
  window.addEventListener("pageshow", () => { leaving = false; });

  // ---- keys ----------------------------------------------------------------------------------------------------

  let active = null;
  function activate(item, focus = true) {
    if (!item || item === active) return;
    if (active) active.classList.remove("on");
    active = item;
    active.classList.add("on");
    if (focus) {
      active.focus({ preventScroll: true });
      active.scrollIntoView({ block: "nearest" });
    }
  }
  function step(by) {
    const at = active ? items.indexOf(active) + by : 0;
    activate(items[Math.min(items.length - 1, Math.max(0, at))]);
  }
  function toggle(number) {
    const tick = active && boxes(active)[number - 1];
    if (!tick) return;
    const na = active.querySelector('[name^="na:"]');
    if (na) na.checked = false;
    tick.checked = !tick.checked;
    changed(tick);
  }
  function fullMarks() {
    if (!active) return;
    const na = active.querySelector('[name^="na:"]');
    if (na) na.checked = false;
    clearItem(active);
    touch();
  }
  function notApplicable() {
    const na = active && active.querySelector('[name^="na:"]');
    if (na) { na.checked = !na.checked; changed(na); }
  }
  // The first open suggestion of the active item, else of any item; with none open, the last of the active one again.
  function answer(value) {
    const isOpen = (box) => !box.querySelector('[type="radio"]:checked');
    const own = active ? [...active.querySelectorAll("[data-suggestion]")] : [];
    const box = own.find(isOpen) || (own.length ? own[own.length - 1] : [...form.querySelectorAll("[data-suggestion]")].find(isOpen));
    if (!box) return;
    activate(box.closest("[data-item]"));
    const radio = box.querySelector(`input[value="${value}"]`);
    radio.checked = true;
    changed(radio);
  }
  function rejectRest() {
    if (!active) return;
    for (const box of active.querySelectorAll("[data-suggestion]")) {
      if (!box.querySelector('[type="radio"]:checked')) { box.querySelector('input[value="rejected"]').checked = true; touch(); }
    }
  }
  function comment() {
    const rows = [...form.querySelectorAll(".ev-comment")];
    const row = rows[rows.length - 1];
    row.querySelector(".ev-at").value = clock(playhead());
    activate(row.closest("[data-item]"));
    row.querySelector('[name="c_text"]').focus();
  }
  function help() {
    const box = document.getElementById("ev-help");
    if (box.open) box.close();
    else box.showModal();
  }
  const keys = {
    ArrowUp: () => step(-1), ArrowDown: () => step(1), 0: fullMarks, n: notApplicable, a: () => answer("accepted"), x: (event) => (event.shiftKey ? rejectRest() : answer("rejected")),
    c: comment, f: () => activate(form.querySelector(".ev-fatal")), "?": help,
  };
  for (let k = 1; k <= 9; k += 1) keys[k] = () => toggle(k);

  const typing = (event) => event.isComposing || event.keyCode === 229 || event.target.closest('input:not([type="checkbox"]):not([type="radio"]), textarea, select, [contenteditable="true"]') !== null;
  document.addEventListener("keydown", (event) => {
    if (!editable || event.defaultPrevented || event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      const button = form.querySelector('button[value="submit-next"]') || form.querySelector('button[value="submit"]');
      form.requestSubmit(button);
      return;
    }
    // Enter in a line of text is no order to send the form.
    if (event.key === "Enter" && event.target.matches("#ev-form input")) { event.preventDefault(); return; }
    if (event.key === "Escape" && typing(event) && active) { active.focus(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event)) return;
    if (event.key.startsWith("Arrow") && event.target.closest("[data-transcript]")) return; // the reader scrolls
    if (document.getElementById("ev-help").open && event.key !== "?") return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
  form.addEventListener("focusin", (event) => activate(event.target.closest("[data-item]"), false));
  form.addEventListener("pointerdown", (event) => activate(event.target.closest("[data-item]"), false));

  // ---- begin ---------------------------------------------------------------------------------------------------

  if (!editable) return;
  form.querySelectorAll("[data-take]").forEach((button) => { button.hidden = false; });
  setInterval(count, 1000);
  document.addEventListener("visibilitychange", count);
  if (form.classList.contains("ev-tried")) toMissing();
  // The next call is made ready while this one is heard: its words on the server, its waveform and first seconds here. Nothing
  // is opened by it. Again before the browser's copy is too old, as long as somebody looks at this page.
  const AHEAD_AFTER_MS = 1500, AHEAD_AGAIN_MS = 4 * 60000, AHEAD_BYTES = 131072; // four seconds
  async function ahead() {
    const id = form.dataset.nextCall;
    if (!id || document.visibilityState !== "visible") return;
    try {
      await fetch(`/evaluate/ahead/${id}`);
      await (await fetch(`/calls/${id}/peaks.json`)).arrayBuffer();
      await (await fetch(`/calls/${id}/audio`, { headers: { Range: `bytes=0-${AHEAD_BYTES - 1}`, "X-Ahead": "1" } })).arrayBuffer();
    } catch (error) { /* a comfort: the next page fetches what it needs */ }
  }
  setTimeout(ahead, AHEAD_AFTER_MS);
  setInterval(ahead, AHEAD_AGAIN_MS);
})();
