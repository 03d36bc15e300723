"use strict";
// The status page: asks the API every two seconds and shows what it says. What it shows comes from the network and is
// hostile, so it only ever becomes text (textContent) or, where it is a web address, a link.

const $ = (id) => document.getElementById(id);
const every = 2000;
let token = "";
let shownNews = null;
let lastStatus = null;
let lastNewest = null;
let lastGood = 0;

function make(tag, text, name) {
  const e = document.createElement(tag);
  if (text !== undefined && text !== null) e.textContent = String(text);
  if (name) e.className = name;
  return e;
}

function put(e, ...children) {
  e.replaceChildren(...children);
  return e;
}

function badge(text, state) {
  const e = make("span", text, "badge");
  e.dataset.state = state;
  return e;
}

const numbers = new Intl.NumberFormat("en");
const number = (n) => numbers.format(n);

function span(seconds) {
  if (seconds < 0) return "-" + span(-seconds);
  // The unit stays on the line of its number.
  if (seconds < 90) return Math.round(seconds) + "\u00a0s";
  if (seconds < 5400) return Math.round(seconds / 60) + "\u00a0min";
  if (seconds < 172800) return Math.round(seconds / 3600) + "\u00a0h";
  return Math.round(seconds / 86400) + "\u00a0days";
}

function ago(time) {
  if (!time) return "never";
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  return seconds < 2 ? "now" : span(seconds) + " ago";
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; ++i) n /= 1024;
  return (i > 0 && n < 10 ? n.toFixed(1) : Math.round(n)) + " " + units[i];
}

function facts(rows) {
  const list = make("dl");
  for (const [name, value] of rows) list.append(make("dt", name), make("dd", value));
  return list;
}

const svg = "http://www.w3.org/2000/svg";

function sparkline(values, words) {
  const most = Math.max(1, ...values);
  const picture = document.createElementNS(svg, "svg");
  picture.setAttribute("class", "spark");
  picture.setAttribute("viewBox", "0 0 100 20");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", words);
  const ground = document.createElementNS(svg, "line");
  for (const [k, v] of [["x1", 0], ["x2", 100], ["y1", 19.5], ["y2", 19.5]]) ground.setAttribute(k, v);
  const line = document.createElementNS(svg, "polyline");
  const step = 100 / Math.max(1, values.length - 1);
  line.setAttribute("points", values.map((v, i) => (i * step).toFixed(2) + "," + (19 - 18 * v / most).toFixed(2)).join(" "));
  picture.append(ground, line);
  return picture;
}

const masterStates = {
  starting: ["starting", "idle"],
  catching_up: ["catching up", "good"],
  polling: ["polling", "good"],
  failing: ["cannot be polled", "bad"],
  archive_full: ["archive takes nothing", "bad"],
  elsewhere: ["at another bridge", "idle"],
};

function masterCard(m) {
  const card = make("li");
  card.dataset.name = m.name;
  let [words, state] = masterStates[m.state] || [m.state, "idle"];
  if (m.state === "elsewhere") [words, state] = m.owner ? ["at " + m.owner, "idle"] : ["no bridge has it", "warn"];
  if (m.stuck) [words, state] = ["stuck", "bad"];
  else if (m.error && state !== "bad") [words, state] = ["cannot be polled", "bad"];
  const top = make("div", null, "top");
  top.append(make("h3", m.name), badge(words, state));
  const rows = [["last answer", ago(m.last_success)], ["last asked", ago(m.last_poll)]];
  if (m.skew_seconds !== null) rows.push(["clock", m.skew_seconds === 0 ? "in step" : span(Math.abs(m.skew_seconds)) + (m.skew_seconds > 0 ? " ahead" : " behind")]);
  rows.push(["archived since start", number(m.archived)], ["late", number(m.late)], ["archive", bytes(m.archive_bytes)]);
  if (m.set_aside) rows.push(["set aside", number(m.set_aside)]);
  put(card, top, make("p", m.error, "words bad"), m.state === "elsewhere" ? facts([]) : facts(rows));
  return card;
}

function bridgeWords(b) {
  const others = b.members.filter((m) => m.name !== b.name).map((m) => m.name + " (" + m.state + ")");
  return ", bridge " + b.name + " with " + number(b.owned) + " of " + number(b.masters) + " masters"
    + (others.length > 0 ? ", beside " + others.join(", ") : ", alone");
}

function destinationState(d) {
  if (d.stuck) return ["stuck", "bad"];
  if (d.state === "connected") {
    if (d.lag === 0) return ["connected, idle", "good"];
    return d.lag_seconds > 60 ? ["catching up", "warn"] : ["connected", "good"];
  }
  if (d.state === "waiting" || d.error) return ["cannot be reached", "bad"];
  return [d.state, "idle"];
}

function destinationCard(d) {
  const card = make("li");
  card.dataset.name = d.name;
  const top = make("div", null, "top");
  top.append(make("h3", d.name), badge(...destinationState(d)));
  const rows = [
    ["connected to", d.connected_to || "nothing"],
    ["waiting", d.lag === 0 ? "none" : number(d.lag) + (d.lag_seconds > 0 ? ", the oldest for " + span(d.lag_seconds) : "")],
    ["confirmed since start", number(d.confirmed)],
    ["held back by rules", number(d.held_back)],
  ];
  if (d.lost) rows.push(["lost to retention", number(d.lost)]);
  if (d.undeliverable) rows.push(["undeliverable", number(d.undeliverable)]);
  if (d.shortened) rows.push(["shortened", number(d.shortened)]);
  put(card, top, make("p", d.error, "words bad"), facts(rows));
  if (Array.isArray(d.confirmed_24h)) {
    const sum = d.confirmed_24h.reduce((a, b) => a + b, 0);
    const words = number(sum) + " confirmed in 24 h, at most " + number(Math.max(...d.confirmed_24h)) + " in half an hour";
    card.append(sparkline(d.confirmed_24h, words), make("p", words, "caption"));
  }
  return card;
}

const mostLines = 300;

// policy_lines: [{text, file, line, since_start, last_24h, never_in_a_week}] of a destination.
function policyPart(d) {
  const part = make("details", null, "policy");
  part.dataset.name = d.name;
  const known = document.querySelector(`.policy[data-name="${CSS.escape(d.name)}"]`);
  part.open = known ? known.open : d.policy_lines.length <= 12;
  const never = d.policy_lines.filter((l) => l.never_in_a_week).length;
  part.append(make("summary", d.name + ": " + number(d.policy_lines.length) + (d.policy_lines.length === 1 ? " line" : " lines")
    + (never ? ", " + number(never) + " never in a week" : "")));
  const list = make("ul");
  for (const l of d.policy_lines.slice(0, mostLines)) {
    const row = make("li", null, l.never_in_a_week ? "never" : "");
    const place = l.file ? " (" + String(l.file).split("/").pop() + (l.line ? ":" + l.line : "") + ")" : "";
    row.append(make("span", l.text + place),
               make("span", (l.never_in_a_week ? "never in a week" : number(l.since_start)) + (l.last_24h ? ", 24 h: " + number(l.last_24h) : "")));
    list.append(row);
  }
  const more = d.policy_lines.length - mostLines + (d.policy_lines_left_out || 0);
  if (more > 0) list.append(make("li", "and " + number(more) + " more"));
  part.append(list);
  return part;
}

function link(url, text) {
  // Anything but a web address stays text.
  if (!/^https?:\/\/[^\s]+$/i.test(url || "")) return make("span", text);
  const a = make("a", text);
  a.href = url;
  a.rel = "noopener noreferrer";
  a.target = "_blank";
  return a;
}

function breachRow(b) {
  const row = make("li");
  row.dataset.pbid = b.pbid;
  const when = make("div", null, "when");
  const time = make("time", String(b.created || b.archived).replace("T", " ").slice(0, 19));
  time.dateTime = b.created || b.archived;
  when.append(time);
  const what = make("div", null, "what");
  what.append(link(b.url, b.model || "breach " + b.pbid));
  const sub = make("div", null, "sub");
  sub.textContent = [b.master, b.device, b.score ? "score " + b.score : "", "#" + b.pbid].filter(Boolean).join(" · ");
  what.append(sub);
  const decisions = make("ul", null, "decisions");
  for (const d of b.decisions || []) {
    const one = make("li");
    one.append(badge(d.forward ? "forward" : d.withheld || "held back", d.forward ? "good" : "idle"), make("span", d.destination + ": " + d.reason));
    decisions.append(one);
  }
  row.append(when, what, decisions);
  return row;
}

function wanted(words, ...parts) {
  const text = parts.flat().join(" ").toLowerCase();
  return words.every((w) => text.includes(w));
}

function count(element, shown, all) {
  element.textContent = shown === all ? "(" + number(all) + ")" : "(" + number(shown) + " of " + number(all) + ")";
}

// Elements are replaced, but the one that has the focus keeps it.
function fill(list, items) {
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && (focused.href || focused.textContent);
  put(list, ...items);
  if (!key) return;
  const again = [...list.querySelectorAll("a, summary")].find((e) => (e.href || e.textContent) === key);
  if (again) again.focus({ preventScroll: true });
}

function part(name, all, words, textOf, makeOne, none) {
  const shown = all.filter((x) => wanted(words, textOf(x)));
  fill($(name), shown.map(makeOne));
  count($(name + "-count"), shown.length, all.length);
  const empty = $(name + "-empty");
  empty.hidden = shown.length > 0;
  empty.textContent = all.length > 0 ? "None fits the filter." : none;
}

function showState(s) {
  const state = $("state");
  const reasons = s.reasons || [];
  state.textContent = !s.ready ? "not ready" : reasons.length > 0 ? "needs attention" : "all well";
  state.dataset.state = !s.ready ? "bad" : reasons.length > 0 ? "warn" : "good";
  document.title = (reasons.length > 0 ? "(" + reasons.length + ") " : "") + "dtbridge: " + state.textContent;
  $("version").textContent = "version " + s.version + ", started " + ago(s.started) + (s.bridges ? bridgeWords(s.bridges) : "");
  $("reasons").hidden = reasons.length === 0;
  put($("reason-list"), ...reasons.map((r) => make("li", r)));
}

function show() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const s = lastStatus;
  if (s) {
    showState(s);
    part("masters", s.masters, words, (m) => [m.name, m.state, m.owner, m.error], masterCard, "No master is configured.");
    part("destinations", s.destinations, words, (d) => [d.name, d.state, d.error, d.connected_to], destinationCard, "No destination is configured: breaches are archived and sent nowhere.");
    const policies = s.destinations.filter((d) => Array.isArray(d.policy_lines) && d.policy_lines.length > 0
      && wanted(words, d.name, d.policy_lines.map((l) => l.text)));
    $("policies").hidden = policies.length === 0;
    fill($("policy-list"), policies.map(policyPart));
  }
  if (lastNewest)
    part("newest", lastNewest, words, (b) => [b.master, b.model, b.device, b.pbid, (b.decisions || []).map((d) => d.destination + " " + d.reason)], breachRow, "No breach is archived yet.");
}

async function ask(path) {
  const headers = token ? { Authorization: "Bearer " + token } : {};
  const answer = await fetch(path, { headers, cache: "no-store", credentials: "omit", redirect: "error" });
  if (answer.ok) return answer.json();
  const problem = new Error("the bridge answered " + answer.status);
  problem.status = answer.status;
  throw problem;
}

function needToken(on) {
  $("sign-in").hidden = !on;
  $("token-error").textContent = on && token ? "This token is not taken." : "";
}

async function look() {
  let refused = false;
  try {
    lastStatus = await ask("/api/v1/status");
    lastGood = Date.now();
    const news = JSON.stringify([lastStatus.started, lastStatus.masters.map((m) => [m.name, m.archived]), lastStatus.destinations.map((d) => d.name), token]);
    if (news !== shownNews) {
      lastNewest = (await ask("/api/v1/newest")).breaches;
      shownNews = news;
    }
    $("fresh").textContent = "";
  } catch (problem) {
    refused = problem.status === 401 || problem.status === 403;
    if (!refused) {
      $("fresh").textContent = "no answer" + (lastGood ? " for " + span((Date.now() - lastGood) / 1000) + "; what is below is that old" : "");
      $("state").textContent = "no answer";
      $("state").dataset.state = "bad";
    }
  }
  needToken(refused);
  if (refused && !lastStatus) {
    $("state").textContent = "token needed";
    $("state").dataset.state = "warn";
  }
  if (lastStatus && Date.now() - lastGood < every) show();
  if (refused && lastStatus && !lastNewest) {
    $("newest-empty").hidden = false;
    $("newest-empty").textContent = "Breaches need a token.";
  }
  document.body.dataset.looked = String(Number(document.body.dataset.looked || 0) + 1);
  setTimeout(look, document.hidden ? every * 5 : every);
}

$("filter").addEventListener("input", show);
function useToken() {
  token = $("token").value.trim();
  $("token").value = "";
  shownNews = null;
}
$("token-button").addEventListener("click", useToken);
$("token").addEventListener("keydown", (e) => { if (e.key === "Enter") useToken(); });
look();
