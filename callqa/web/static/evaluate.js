// Comfort for the scoring form. The form works without it; this adds: the playhead's time as evidence, acceptance that ticks its
// option, a live score, autosave with version, and elapsed time. It never sends what the person did not choose.
(() => {
  "use strict";
  const form = document.getElementById("cq-score");
  if (!form) return;
  const version = form.elements.version;
  const elapsed = form.elements.elapsed_ms;
  const saved = document.getElementById("cq-saved");
  const opened = Date.now() - Number(elapsed.value || 0);
  const editable = !form.querySelector("fieldset[disabled]");

  const clock = (ms) => {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  const playhead = () => {
    const root = document.querySelector("[data-player]");
    return root && root.callPlayer ? root.callPlayer.positionMs : 0;
  };

  function takeTime(row, ms) {
    const field = row.querySelector(".cq-at");
    if (field && !field.value) field.value = clock(ms);
  }

  function decide(box, accepted) {
    const [item, code] = box.dataset.option.split(":");
    if (!code) return;
    const tick = form.elements[`d:${item}:${code}`];
    if (!tick) return;
    const row = tick.closest(".cq-option");
    tick.checked = accepted;
    if (accepted) {
      if (box.dataset.at !== "") takeTime(row, Number(box.dataset.at));
      const note = form.elements[`note:${item}:${code}`];
      if (note && !note.value) note.value = box.dataset.reason;
    }
  }

  form.addEventListener("change", (event) => {
    const t = event.target;
    if (t.matches('input[type="radio"][name^="s:"]')) {
      decide(t.closest("[data-suggestion]"), t.value === "accepted");
    } else if (t.matches('input[type="checkbox"][name^="d:"], input[type="checkbox"][name^="f:"]')) {
      const row = t.closest(".cq-option");
      if (t.checked) takeTime(row, playhead());
      else withdraw(t.name.slice(2));
    }
    showState();
    soon();
  });
  form.addEventListener("input", (event) => {
    if (event.target.matches("input:not([type]), textarea")) soon();
  });

  // A deduction taken back also takes back the acceptance that made it.
  function withdraw(key) {
    for (const box of form.querySelectorAll(`[data-suggestion][data-option="${CSS.escape(key)}"]`)) {
      const accepted = box.querySelector('input[value="accepted"]');
      if (accepted && accepted.checked) box.querySelector('input[value="rejected"]').checked = true;
    }
  }

  function showState() {
    for (const row of form.querySelectorAll(".cq-option")) {
      row.classList.toggle("cq-chosen", row.querySelector('input[type="checkbox"]').checked);
    }
    for (const item of form.querySelectorAll(".cq-item")) {
      const na = item.querySelector('input[name^="na:"]');
      item.classList.toggle("cq-is-na", Boolean(na && na.checked));
    }
  }

  let timer = 0;
  let running = false;
  function soon() {
    clearTimeout(timer);
    timer = setTimeout(update, 600);
  }

  async function update() {
    if (running || !editable) return soon();
    running = true;
    elapsed.value = String(Date.now() - opened);
    const body = new URLSearchParams(new FormData(form));
    body.set("do", "save");
    try {
      const answer = await fetch(form.dataset.preview, { method: "POST", body });
      if (answer.ok) document.getElementById("cq-totals").outerHTML = await answer.text();
      if (form.dataset.status === "draft") await autosave(body);
    } finally {
      running = false;
    }
  }

  async function autosave(body) {
    const answer = await fetch(form.action, { method: "POST", body, headers: { "X-Autosave": "1" } });
    if (answer.ok) {
      version.value = (await answer.text()).trim();
      saved.textContent = `暂存于 ${new Date().toLocaleTimeString("zh-CN", { hour12: false })}`;
      saved.className = "text-secondary";
    } else if (answer.status === 409) {
      saved.textContent = "这份评分已在别处保存；请刷新后再改，本页未覆盖";
      saved.className = "text-danger";
    } else {
      saved.textContent = "未暂存：有内容看不懂，请检查时间点";
      saved.className = "text-danger";
    }
  }

  form.addEventListener("submit", () => {
    clearTimeout(timer);
    elapsed.value = String(Date.now() - opened);
  });

  // C takes the playhead's time into the comment line; ignored while typing or composing.
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) {
      if (event.key === "Enter" && event.ctrlKey && editable) {
        form.elements.go.value = "next";
        form.querySelector('button[value="submit"]').click();
      }
      return;
    }
    if (event.target.matches("input:not([type='checkbox']):not([type='radio']), textarea, select")) return;
    if (event.key === "c" || event.key === "C") {
      const rows = form.querySelectorAll(".cq-comment");
      const row = rows[rows.length - 1];
      row.querySelector(".cq-at").value = clock(playhead());
      row.querySelector('[name="c_text"]').focus();
      event.preventDefault();
    }
  });

  showState();
  if (editable) soon();
})();
