// What a page can do beyond being read: times that go on, live regions, the theme, the keyboard, copying.
const SECOND = 1000;
const SELDOM = 15 * SECOND;
const OFTEN = 2 * SECOND;
const LYING = 30 * SECOND;
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];

function span(seconds) {
  for (const [unit, name] of UNITS) if (seconds >= 2 * unit) return `${Math.round(seconds / unit)} ${name}`;
  return `${Math.round(seconds)} s`;
}

// To the second, in two units: what somebody waits for.
function exact(seconds) {
  let left = Math.round(seconds);
  const words = [];
  for (const [unit, name] of [...UNITS, [1, "s"]]) {
    if (left >= unit && words.length < 2) words.push(`${Math.floor(left / unit)} ${name}`);
    left %= unit;
  }
  return words.join(" ") || "0 s";
}

function clock(moment, timeStyle = "long") {
  return moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle });
}

// Within a sentence: of a time that the sentence says without its day, the clock alone, so exactly.
function said(moment, timeStyle) {
  return timeStyle ? moment.toLocaleTimeString(undefined, { timeStyle }) : clock(moment, "short");
}

function tellTimes(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue; // A time beyond the browser's calendar stays as the server told it.
    const seconds = (Date.now() - moment) / SECOND;
    const told = "exact" in time.dataset ? exact : span;
    const past = seconds > 0 ? `${told(seconds)} ago` : `in ${told(-seconds)}`;
    const text = "clock" in time.dataset ? said(moment, time.dataset.clock) : Math.abs(seconds) < 1 ? "now" : past;
    if (time.textContent !== text) time.textContent = text;
    const title = time.dataset.clock ? "" : clock(moment);
    if (time.title !== title) time.title = title;
  }
}

// What a person types is a time of that person's clock; what is sent is the same in UTC, as without this script.
function takeTime(field) {
  const sent = document.createElement("input");
  sent.type = "hidden";
  sent.name = field.name;
  field.removeAttribute("name");
  field.after(sent);
  const given = field.getAttribute("value");
  const moment = given ? new Date(/(Z|[+-]\d\d:?\d\d)$/.test(given) ? given : `${given}Z`) : null;
  if (moment && !Number.isNaN(moment.getTime())) {
    field.value = new Date(moment - moment.getTimezoneOffset() * 60 * SECOND).toISOString().slice(0, 16);
  }
  const send = () => {
    const typed = field.value ? new Date(field.value) : null;
    sent.value = typed && !Number.isNaN(typed.getTime()) ? typed.toISOString() : "";
    sent.disabled = !sent.value; // An address is not to carry what was left empty.
  };
  field.addEventListener("input", send);
  field.form.addEventListener("submit", send); // A browser that goes back fills in what was typed, and tells nobody.
  send();
  field.closest("label").querySelector(".zone").textContent = "by your clock";
}

// A page is left alone while somebody's hand is in one of its regions, for what is drawn anew above would move it: a
// field, a selection, a form unfolded, a row ticked, and what the keyboard or the pointer is on, unless it has been
// lying there. What is unfolded is found again, and so is what has the focus.
const FIELD = "input:not(.tick), textarea, select";
const FOLD = "details[id] > summary";
const POINTED_AT = ".rows:hover, :has(.rows:hover, a:hover, button:hover, summary:hover)";
let moved = 0;
let reached = 0;
document.addEventListener("pointermove", () => { moved = Date.now(); }, { passive: true });
for (const kind of ["focusin", "keydown"]) document.addEventListener(kind, () => { reached = Date.now(); });

const lies = (since) => Date.now() - since >= LYING;

function isTouched(region) {
  const selection = getSelection();
  const focus = document.activeElement;
  return (region.contains(focus) && (focus.matches(FIELD) || !(focus.matches(FOLD) || lies(reached))))
    || (!selection.isCollapsed && region.contains(selection.anchorNode))
    || region.matches(":has(:active, details.action[open], .tick:checked)")
    || (!lies(moved) && region.matches(POINTED_AT));
}

// Where it is, in words that hold for a page drawn anew: by its id, or as which link, or thing, within what has one.
function placeOf(focus) {
  const near = focus.closest("[id]");
  const link = focus.hasAttribute("href") ? `[href="${CSS.escape(focus.getAttribute("href"))}"]` : "";
  const place = `#${CSS.escape(near.id)}${near === focus ? "" : ` ${focus.localName}${link}`}`;
  return [place, [...document.querySelectorAll(place)].indexOf(focus)];
}

// Put back, it lies there still.
function focusAgain([place, index]) {
  const found = document.querySelectorAll(place)[index];
  const before = reached;
  if (found?.tabIndex < 0) found.tabIndex = -1; // A row of nothing that opens takes the focus only where it is told so.
  found?.focus({ preventScroll: true });
  reached = before;
}

function replace(region, fresh) {
  const open = new Map([...region.querySelectorAll("details[id]")].map((each) => [each.id, each.open]));
  const aside = [...region.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  const [anchor, top] = firstInSight();
  const place = region.contains(document.activeElement) ? placeOf(document.activeElement) : null;
  region.replaceChildren(...fresh.childNodes);
  for (const each of region.querySelectorAll("details[id]")) if (open.has(each.id)) each.open = open.get(each.id);
  prepare(region);
  for (const [index, each] of region.querySelectorAll(".scroll").entries()) each.scrollLeft = aside[index] ?? 0;
  if (place) focusAgain(place);
  const found = anchor && document.getElementById(anchor);
  if (found) scrollBy(0, found.getBoundingClientRect().top - top);
}

// What a person reads stays where it is, though what comes before it grows. At the top of a page, the top stays.
function firstInSight() {
  if (scrollY === 0) return [];
  for (const each of document.querySelectorAll("main [id]")) {
    const { top, height } = each.getBoundingClientRect();
    if (top >= 0 && top < innerHeight && height) return [each.id, top];
  }
  return [];
}

let live = true;
let due = 0;
let last = 0;
async function refresh() {
  const regions = [...document.querySelectorAll("[data-live]")];
  if (!live || document.hidden || regions.length === 0) return;
  last = Date.now();
  if (regions.some(isTouched)) return wait();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(`answer ${answer.status}`);
    if (answer.redirected) return show("Signed out", "Load the page anew to sign in");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (regions.some(isTouched)) return wait(); // The hand came while the page was asked for.
    for (const region of regions) {
      const fresh = page.getElementById(region.id);
      if (live && fresh) replace(region, fresh);
    }
    show("Live");
  } catch (error) {
    show("Out of touch");
    console.info("No fresh page:", error.message);
  }
}

// Nothing moves under the hand; it is looked at when that is gone.
function wait() {
  show("Waiting", "Changes wait until you leave what you work on");
  soon();
}

// However much happens, the page is fetched no more often than every other second.
function soon() {
  due ||= setTimeout(() => {
    due = 0;
    refresh();
  }, Math.max(0, last + OFTEN - Date.now()));
}

// The server says when there is something new: of one job, where the page is about one, until it is over; else of
// anything. A page that nobody sees has no stream: a browser has six connections to a server, for all of its tabs.
let stream;
function follow(address = document.querySelector("[data-follow]")?.dataset.follow ?? "/dashboard/changes") {
  stream?.close();
  stream = undefined;
  if (!live || document.hidden || !document.querySelector("[data-live]")) return;
  const mine = new EventSource(address);
  stream = mine;
  mine.onopen = soon;
  for (const kind of ["message", "state", "attempt", "progress"]) mine.addEventListener(kind, soon);
  mine.addEventListener("end", () => {
    soon();
    follow("/dashboard/changes");
  });
  mine.onerror = () => {
    if (stream === mine && !document.hidden) show("Out of touch");
  };
}

const button = document.getElementById("live");
function show(word, why = "") {
  button.title = live ? why : "";
  button.querySelector(".word").textContent = live ? word : "Paused";
  button.setAttribute("aria-pressed", String(live));
}
function pause() {
  live = !live;
  show("Live");
  follow();
}

function prepare(root) {
  tellTimes(root);
  const all = root.querySelector("#tick-all");
  if (all) {
    all.hidden = false;
    all.addEventListener("click", () => {
      const boxes = [...document.querySelectorAll(".tick")];
      const on = boxes.some((each) => !each.checked);
      for (const each of boxes) each.checked = on;
    });
  }
  for (const field of root.querySelectorAll("input[type=datetime-local][name]")) takeTime(field);
  for (const copy of root.querySelectorAll("button.copy")) {
    if (!navigator.clipboard) continue;
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const shown = copy.nextElementSibling.cloneNode(true);
      for (const each of shown.querySelectorAll("[data-uncopied]")) each.remove();
      await navigator.clipboard.writeText(shown.textContent);
      copy.textContent = "Copied";
    });
  }
}

const theme = document.getElementById("theme");
const THEMES = ["system", "light", "dark"];
function changeTheme(chosen) {
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  theme.textContent = `Theme: ${chosen}`;
}
theme.addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "system";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  changeTheme(next);
  try {
    localStorage.setItem("theme", next);
  } catch (error) {
    console.info("The theme is not remembered here:", error.name);
  }
});

// What a page lists, and what of each is opened: its page, else what it unfolds. A row of neither has the focus itself.
const ROWS = ".row, .incident, .rung, .worker, .running-jobs li, .counted li, tbody tr";
const OPENS = ["a.open", "a.button", "th[scope=row] a, h3 a, .running-jobs a", ".task a", "summary"];

function opening(row) {
  for (const each of OPENS) {
    const found = [...row.querySelectorAll(each)].find((one) => one.closest(ROWS) === row && one.checkVisibility());
    if (found) return found;
  }
  row.tabIndex = -1;
  return row;
}

function step(by) {
  const rows = [...document.querySelectorAll(ROWS)].filter((each) => each.checkVisibility());
  const at = rows.findLastIndex((each) => each.contains(document.activeElement));
  const row = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
  if (row) opening(row).focus();
}

// The row that the hand is on, or none.
function tick() {
  const box = document.activeElement.closest(".row")?.querySelector(".tick");
  if (box) box.checked = !box.checked;
}

// A page without a search of its own leads to that of jobs.
function search() {
  const field = document.getElementById("search");
  if (field) field.focus();
  else location.assign("/dashboard/jobs#search");
}

const help = document.getElementById("help");
const KEYS = {
  "?": () => help.showModal(),
  "/": search,
  j: () => step(1),
  k: () => step(-1),
  p: pause,
  x: tick,
};
let going = 0;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.target.closest(FIELD)) return;
  if (Date.now() - going < SECOND) {
    going = 0;
    const link = [...document.querySelectorAll("[data-go]")].find((each) => each.dataset.go === event.key);
    if (link) link.click();
  } else if (event.key === "g") {
    going = Date.now();
  } else if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

button.addEventListener("click", pause);
document.getElementById("help-open").addEventListener("click", () => help.showModal());
for (const each of [theme, document.getElementById("help-open")]) each.hidden = false;
button.hidden = !document.querySelector("[data-live]");
changeTheme(document.documentElement.dataset.theme ?? "system");
prepare(document);
if (location.hash === "#search") search();
setInterval(tellTimes, SECOND, document);
setInterval(() => {
  if (!stream || stream.readyState === EventSource.CLOSED) {
    soon();
    follow();
  }
}, SELDOM);
document.addEventListener("visibilitychange", () => follow());
addEventListener("pagehide", () => stream?.close());
follow();
