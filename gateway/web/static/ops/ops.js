"use strict";
// Live updates: an event stream says when something changed; the page is fetched again and merged in, so that focus, open
// dialogs and scroll positions stay. The page also knows how old its figures are, and shows when they no longer hold.
(() => {
  const link = document.getElementById("link");
  const live = () => document.getElementById("live");
  const HISTORY = { charged: "charged", wasted: "paid for nothing", accepted: "accepted", completed: "completed", failed: "failed", waiting: "waiting", in_flight: "slots in use", oldest: "oldest waiting", usual: "median", slow: "95th percentile", sent: "delivered", refused: "failed" };
  const COLOURS = { charged: "accent", wasted: "bad", accepted: "accent", completed: "good", failed: "bad", waiting: "warn", in_flight: "accent", oldest: "warn", usual: "good", slow: "accent", sent: "good", refused: "bad" };

  const STALE_MS = 4000; // the stream reads every two seconds; older figures are stale within five
  const REASONS = { silent: "The gateway does not answer.", away: "The gateway cannot read Redis.", held: "Updates are paused while you fill in a form or watch a video." };
  let fresh = Date.now(); // when the figures on the page were last known to hold
  let asked = 0; // when the page that is being fetched was asked for
  let behind = false; // something changed, and the page has not been fetched since
  let reason = "silent";

  const span = (seconds) => seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min` : seconds < 86400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;

  const say = () => {
    if (!link) return;
    const age = Date.now() - fresh, old = `${span(Math.floor(age / 1000))} old`;
    const held = reason === "held", stale = age > STALE_MS && !held;
    const note = document.getElementById("stale"), [alert, since] = note.children;
    document.body.classList.toggle("stale", stale);
    note.hidden = !stale;
    // a screen reader says why once, and not the age each second
    const why = stale ? `These figures may no longer hold. ${REASONS[reason]}` : "";
    if (alert.textContent !== why) alert.textContent = why;
    since.textContent = `They are ${old}.`;
    link.className = `state ${stale ? "away" : held ? "held" : ""}`;
    link.textContent = stale ? `stale, ${old}` : held ? `paused, ${old}` : "live";
    link.title = stale || held ? REASONS[reason] : "Live updates";
  };

  // Never update under an open form or a playing video.
  const busy = () => document.querySelector(":popover-open") || (document.activeElement && document.activeElement.closest("main") && /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) || playing();
  const playing = () => [...document.querySelectorAll("video")].some((video) => !video.paused);

  const refresh = () => {
    behind = true;
    if (document.hidden || !live()) return;
    if (busy()) reason = "held"; else if (reason === "held") reason = "silent";
    say();
    if (reason !== "held") htmx.trigger(live(), "tick");
  };

  const listen = () => {
    const source = new EventSource("/ops/live");
    source.addEventListener("tick", refresh);
    source.addEventListener("same", () => {
      if (behind) { refresh(); return; }
      fresh = Date.now();
      reason = "silent";
      say();
    });
    source.addEventListener("away", () => { behind = true; reason = "away"; say(); });
    source.onerror = () => {
      behind = true;
      if (reason !== "away") reason = "silent";
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
    };
    addEventListener("pagehide", () => source.close(), { once: true });
  };

  const ago = () => {
    const now = Date.now();
    for (const time of document.querySelectorAll("time")) {
      const seconds = Math.round((now - Date.parse(time.dateTime)) / 1000);
      const size = span(Math.abs(seconds));
      time.title = `${time.dateTime} (${seconds < 0 ? `in ${size}` : `${size} ago`})`;
      // a planned time that has passed is no longer a plan
      if (time.dataset.past && seconds >= 0) time.closest(".planned").textContent = time.dataset.past;
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

  const options = (place, names) => {
    const days = place.dataset.unit === "money"; // one bar a day, in UTC; wasted money is a part of what was charged
    const bars = days ? { paths: uPlot.paths.bars({ size: [0.7, 40] }) } : {};
    return {
      width: place.clientWidth,
      height: 140,
      cursor: { y: false },
      legend: { live: true },
      tzDate: (at) => days ? uPlot.tzDate(new Date(at * 1000), "UTC") : new Date(at * 1000),
      scales: {
        x: days ? { range: (_, low, high) => [low - DAY / 2, high + DAY / 2] } : {},
        y: { range: (_, low, high) => [0, days ? (high || 1) * 1.1 : Math.max(1, high * 1.1)] },
      },
      axes: [
        { stroke: resolve("soft"), grid: { show: false }, size: 28, ...(days ? { incrs: [1, 2, 7, 14, 31, 62].map((n) => n * DAY), values: (_, ticks) => ticks.map(day) } : {}) },
        { stroke: resolve("soft"), grid: { stroke: resolve("line"), width: 1 }, size: 52, values: (_, ticks) => ticks.map((tick) => days ? coarse(tick) : place.dataset.unit ? length(tick) : tick >= 10000 ? `${tick / 1000}k` : String(tick)) },
      ],
      series: [{ value: (_, at) => at ? days ? day(at) : new Date(at * 1000).toLocaleTimeString() : "" }, ...names.map((name) => ({
        label: HISTORY[name], stroke: resolve(COLOURS[name]), width: days ? 0 : 2, fill: days ? resolve(COLOURS[name]) : undefined, points: { show: false }, ...bars,
        value: (_, value) => value == null ? "" : days ? money(value) : place.dataset.unit ? length(value) : String(Math.round(value * 10) / 10),
      }))],
    };
  };

  const DAY = 86400;
  const day = (at) => new Date(at * 1000).toLocaleDateString(undefined, { month: "short", day: "numeric", timeZone: "UTC" });
  const money = (amount) => amount.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 4 });
  const coarse = (amount) => amount >= 10000 ? `${amount / 1000}k` : amount.toLocaleString("en", { maximumFractionDigits: 4 });

  const length = (seconds) => seconds < 120 ? `${Math.round(seconds * 10) / 10} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 360) / 10} h`;

  // What was just done is said once: later, or after a reload, it may no longer be so.
  const forget = () => {
    const said = document.querySelector(".said");
    if (!said) return;
    const url = new URL(location.href);
    url.searchParams.delete("said");
    url.searchParams.delete("number");
    history.replaceState(null, "", url);
    setTimeout(() => said.remove(), 10000);
  };

  const redraw = () => { for (const plot of plots.values()) plot.destroy(); plots.clear(); draw(); };

  document.addEventListener("DOMContentLoaded", () => {
    // charts and videos keep their state
    Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) => !(old.dataset && "keep" in old.dataset);
    ago();
    draw();
    for (const video of document.querySelectorAll("video")) video.src = video.dataset.src;
    if (link) { listen(); setInterval(() => { say(); ago(); }, 500); }
    forget();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && behind) refresh(); });
  document.addEventListener("htmx:beforeRequest", () => { asked = Date.now(); });
  document.addEventListener("htmx:afterSettle", () => {
    fresh = asked;
    behind = false;
    reason = "silent";
    say();
    ago();
    draw();
    // The page's policy names the origins of its videos: a video that was merged in later needs a fresh page.
    if (document.querySelector("video:not([src])")) location.reload();
  });
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 401) location.reload();
    if (event.detail.xhr.status === 503) reason = "away";
  });
  let resizing = 0;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 200); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();
