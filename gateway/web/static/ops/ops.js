"use strict";
// Live updates: an event stream says when something changed; the page is fetched again and merged in, so that focus, open
// dialogs and scroll positions stay.
(() => {
  const link = document.getElementById("link");
  const live = () => document.getElementById("live");
  const HISTORY = { accepted: "accepted", completed: "completed", failed: "failed", waiting: "waiting", in_flight: "at the upstream", oldest: "oldest waiting", usual: "median", slow: "95th percentile", sent: "delivered", refused: "failed" };
  const COLOURS = { accepted: "accent", completed: "good", failed: "bad", waiting: "warn", in_flight: "accent", oldest: "warn", usual: "good", slow: "accent", sent: "good", refused: "bad" };

  const say = (state, title) => {
    if (!link) return;
    link.className = `state ${state}`;
    link.textContent = state === "away" ? "offline" : state === "held" ? "paused" : "live";
    link.title = title;
  };

  // Never update under an open form or a playing video.
  const busy = () => document.querySelector(":popover-open") || (document.activeElement && document.activeElement.closest("main") && /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) || playing();
  const playing = () => [...document.querySelectorAll("video")].some((video) => !video.paused);

  const refresh = () => {
    if (document.hidden || !live()) return;
    if (busy()) { say("held", "Updates are paused while you fill in a form or watch a video"); return; }
    say("", "Live updates");
    htmx.trigger(live(), "tick");
  };

  const listen = () => {
    const source = new EventSource("/ops/live");
    source.addEventListener("tick", refresh);
    source.onerror = () => {
      say("away", "The gateway does not answer. The page shows the last known state.");
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    };
    addEventListener("pagehide", () => source.close(), { once: true });
  };

  const ago = () => {
    const now = Date.now();
    for (const time of document.querySelectorAll("time")) {
      const seconds = Math.round((now - Date.parse(time.dateTime)) / 1000);
      const size = Math.abs(seconds);
      const [n, unit] = size < 60 ? [size, "s"] : size < 3600 ? [Math.floor(size / 60), "min"] : size < 86400 ? [Math.floor(size / 3600), "h"] : [Math.floor(size / 86400), "d"];
      time.title = `${time.dateTime} (${seconds < 0 ? "in " : ""}${n} ${unit}${seconds < 0 ? "" : " ago"})`;
    }
  };

  const plots = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const resolve = (name) => {
    // light-dark() is resolved by the browser only where it is used as a colour
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found || colour(name);
  };

  const draw = () => {
    const holder = document.getElementById("history");
    if (!holder || !window.uPlot) return;
    const columns = JSON.parse(holder.dataset.history);
    const section = document.getElementById("plots");
    section.classList.toggle("none", columns.at.length < 2);
    if (columns.at.length < 2) return;
    for (const place of document.querySelectorAll(".plot")) {
      const names = place.dataset.series.split(",");
      const data = [columns.at, ...names.map((name) => columns[name])];
      const old = plots.get(place.id);
      if (old && old.root.isConnected) { old.setData(data); continue; }
      place.replaceChildren();
      plots.set(place.id, new uPlot(options(place, names), data, place));
    }
  };

  const options = (place, names) => ({
    width: place.clientWidth,
    height: 140,
    cursor: { y: false },
    legend: { live: true },
    scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
    axes: [
      { stroke: resolve("soft"), grid: { show: false }, size: 28 },
      { stroke: resolve("soft"), grid: { stroke: resolve("line"), width: 1 }, size: 52, values: (_, ticks) => ticks.map((tick) => place.dataset.unit ? length(tick) : tick >= 10000 ? `${tick / 1000}k` : String(tick)) },
    ],
    series: [{ value: (_, at) => at ? new Date(at * 1000).toLocaleTimeString() : "" }, ...names.map((name) => ({
      label: HISTORY[name], stroke: resolve(COLOURS[name]), width: 2, points: { show: false },
      value: (_, value) => value == null ? "" : place.dataset.unit ? length(value) : String(Math.round(value * 10) / 10),
    }))],
  });

  const length = (seconds) => seconds < 120 ? `${Math.round(seconds * 10) / 10} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 360) / 10} h`;

  const redraw = () => { for (const plot of plots.values()) plot.destroy(); plots.clear(); draw(); };

  document.addEventListener("DOMContentLoaded", () => {
    // charts and videos keep their state
    Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) => !(old.dataset && "keep" in old.dataset);
    ago();
    draw();
    for (const video of document.querySelectorAll("video")) video.src = video.dataset.src;
    if (link) listen();
  });
  document.addEventListener("htmx:afterSettle", () => {
    ago();
    draw();
    // The page's policy names the origins of its videos: a video that was merged in later needs a fresh page.
    if (document.querySelector("video:not([src])")) location.reload();
  });
  document.addEventListener("htmx:responseError", (event) => { if (event.detail.xhr.status === 401) location.reload(); });
  let resizing = 0;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 200); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();
