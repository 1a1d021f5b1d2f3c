// What somebody typed outlives an ended session and a server that is away: before a form with words in it is sent, the page asks
// whether the server is there and still knows this person. If not, nothing is sent, the page stays as it is and says what to do.
// window.callqaKept: ask() stateOf(answer) tell(state, what) clear(), for scripts that save by themselves.
"use strict";

(() => {
  const me = document.body.dataset.person;
  if (!me) return;
  const ANSWER_WITHIN_MS = 10000;
  const WHY = {
    out: "登录已过期",
    other: "这个浏览器的登录换成了别的账号",
    away: "连不上服务器",
    trouble: "服务器暂时出错",
  };
  const TO_DO = {
    out: ["请在新标签页登录，再回到这里", "/login", "登录"],
    other: ["请退出后用原来的账号登录，再回到这里", "/", "打开首页"],
    away: ["请稍后再试；一直不行请找管理员"],
    trouble: ["请稍后再试；一直不行请找管理员"],
  };

  // A redirect leads to the sign-in page (or to changing a password somebody else gave).
  function stateOf(answer) {
    if (answer.type === "opaqueredirect") return "out";
    return answer.status >= 500 ? "trouble" : "here";
  }
  async function ask() {
    try {
      const answer = await fetch("/account/session", { redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
      const state = stateOf(answer);
      if (state !== "here") return state;
      if (!answer.ok) return "trouble";
      return (await answer.text()) === me ? "here" : "other";
    } catch (error) { return "away"; }
  }

  let notice = null;
  function tell(state, what) {
    clear();
    const [advice, path, label] = TO_DO[state];
    notice = document.createElement("div");
    notice.className = "alert alert-danger cq-kept d-print-none";
    notice.setAttribute("role", "alert");
    const line = document.createElement("span");
    line.textContent = `${WHY[state]}，${what}；填写的都还在。${advice}。`;
    notice.append(line);
    if (path) {
      const link = document.createElement("a");
      Object.assign(link, { className: "btn btn-sm", href: path, target: "_blank", rel: "noopener", textContent: label });
      notice.append(link);
    }
    document.body.append(notice);
  }
  function clear() {
    if (notice) notice.remove();
    notice = null;
  }

  const holdsWords = (form) => [...form.elements].some((field) => field.matches('textarea, input:not([type]), input[type="text"], input[type="file"]') && field.value !== "");
  document.addEventListener("submit", async (event) => {
    const form = event.target, button = event.submitter;
    if (event.defaultPrevented || form.method !== "post") return;
    if (form.dataset.asked) { delete form.dataset.asked; return; }
    if (!holdsWords(form)) return;
    event.preventDefault();
    const state = await ask();
    if (state !== "here") {
      tell(state, "没有提交");
      form.dispatchEvent(new CustomEvent("kept"));
      return;
    }
    clear();
    form.dataset.asked = "1";
    form.requestSubmit(button);
  });

  window.callqaKept = { ask, stateOf, tell, clear, WHY };
})();
