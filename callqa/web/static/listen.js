// Listening in: two sides of a call as they are spoken. Raw samples come by fetch and are played piece after piece;
// plain buffers, since a worklet needs HTTPS and many offices have none.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector("[data-listen-player]");
  if (!box) return;
  const RATE = 8000, LEAD_S = 0.1, MOST_S = 0.6;
  const part = (name) => box.querySelector(`[data-listen-${name}]`);
  const sides = [0, 1].map((n) => box.querySelector(`[data-listen-side="${n}"]`));
  const meters = [0, 1].map((n) => box.querySelector(`[data-listen-meter="${n}"]`));
  let now = null; // what is being listened to

  const say = (text, tone) => { part("state").innerHTML = ""; const dot = document.createElement("i"); dot.className = `cq-dot cq-dot-${tone}`; part("state").append(dot, text); };

  function stop(text, tone) {
    if (!now) return;
    const ended = now;
    now = null;
    ended.abort.abort();
    ended.sound.close().catch(() => {});
    meters.forEach((meter) => { meter.value = 0; });
    say(text, tone);
    box.dataset.listening = "";
  }

  function play(me, bytes) {
    const frames = bytes.byteLength >> 2;
    const samples = new DataView(bytes.buffer, bytes.byteOffset, frames << 2);
    const buffer = me.sound.createBuffer(2, frames, RATE);
    for (const side of [0, 1]) {
      const into = buffer.getChannelData(side);
      let loudest = 0;
      for (let i = 0; i < frames; i += 1) {
        const value = samples.getInt16((i << 2) + (side << 1), true) / 32768;
        loudest = Math.max(loudest, Math.abs(value));
        into[i] = sides[side].checked ? value : 0;
      }
      meters[side].value = Math.max(loudest, meters[side].value * 0.8);
      me.loudest[side] = Math.max(me.loudest[side], loudest);
    }
    me.seconds += frames / RATE;
    const at = me.sound.currentTime;
    if (me.next > at + MOST_S) return; // fell behind: leave a piece out
    if (me.next < at) me.next = at + LEAD_S;
    const source = me.sound.createBufferSource();
    source.buffer = buffer;
    source.connect(me.sound.destination);
    source.start(me.next);
    me.next += frames / RATE;
  }

  async function read(me, body) {
    const reader = body.getReader();
    let kept = new Uint8Array(0);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const bytes = new Uint8Array(kept.length + value.length);
      bytes.set(kept); bytes.set(value, kept.length);
      const whole = bytes.length & ~3;
      kept = bytes.slice(whole);
      if (whole) play(me, bytes.subarray(0, whole));
    }
  }

  async function start(callId, who) {
    stop("", "plain");
    const me = { abort: new AbortController(), sound: new AudioContext({ sampleRate: RATE }), next: 0, seconds: 0, loudest: [0, 0] };
    now = me;
    box.hidden = false;
    box.callListen = me; // for whoever looks from outside
    part("name").textContent = who;
    say("正在接入", "wait");
    try {
      await me.sound.resume();
      const answer = await fetch(`/live/${encodeURIComponent(callId)}/listen`, { method: "POST", signal: me.abort.signal });
      if (now !== me) return;
      if (!answer.ok) {
        const told = answer.headers.get("content-type").includes("json") ? (await answer.json()).text : "没有接入；请刷新页面后再试";
        stop(told, "bad");
        return;
      }
      say("监听中", "good");
      box.dataset.listening = callId;
      await read(me, answer.body);
      if (now === me) stop("监听已结束：通话已挂断，或需要重新登录", "plain");
    } catch (error) {
      if (now === me) stop("监听断开；请再按一次“监听”", "bad");
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-listen]");
    if (button) start(button.dataset.listen, button.dataset.listenWho);
    else if (event.target.closest("[data-listen-stop]")) { stop("", "plain"); box.hidden = true; }
  });
  window.addEventListener("pagehide", () => stop("", "plain"));
});
