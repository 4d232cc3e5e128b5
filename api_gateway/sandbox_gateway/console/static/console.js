// What the pages do beyond links and forms: times in the reader's zone, and updates. Without it, they still work.
"use strict";

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

// Times: the server writes them in UTC.

const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const STEPS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function since(milliseconds) {
  let seconds = Math.max(0, Math.round(milliseconds / 1000));
  const at = Math.max(0, STEPS.findIndex(([, size]) => seconds >= size));
  const [unit, size] = STEPS[seconds ? at : 3];
  const first = `${Math.floor(seconds / size)} ${unit}`;
  seconds %= size;
  // Two units where the first has one digit: 2 h 5 min, but 17 h.
  const next = STEPS[STEPS.findIndex(([name]) => name === unit) + 1];
  if (!next || first.length > unit.length + 2 || seconds < next[1]) return first;
  return `${first} ${Math.floor(seconds / next[1])} ${next[0]}`;
}

function localize(within = document) {
  const now = Date.now();
  for (const element of findAll("time[datetime]", within)) {
    const time = new Date(element.dateTime);
    if (Number.isNaN(time.getTime())) continue;
    const text = "since" in element.dataset ? since(now - time) : short.format(time);
    if (element.textContent !== text) element.textContent = text;
    if (!element.title) element.title = absolute.format(time);
  }
}

// Streams of the server. A hidden page has none: browsers allow six connections to a host.

function follow(url, receive) {
  let source = null;
  const lost = find("[data-lost]");
  const open = () => {
    if (source) return;
    source = new EventSource(url());
    source.onmessage = (event) => {
      if (lost) lost.hidden = true;
      receive(JSON.parse(event.data));
      localize();
    };
    source.onerror = async () => {
      if (lost) lost.hidden = false;
      // The browser tries again by itself unless it was refused: the session or the sandbox has ended, or there are
      // too many streams.
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      const page = await fetch(location.href, { method: "HEAD" }).catch(() => null);
      if (page && [401, 404].includes(page.status)) location.reload();
      else setTimeout(choose, 5000);
    };
  };
  const close = () => {
    source?.close();
    source = null;
  };
  const choose = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", choose);
  addEventListener("pagehide", close);
  addEventListener("pageshow", choose);
  choose();
  return () => {
    close();
    choose();
  };
}

// The table

function parseRow(text) {
  const template = document.createElement("template");
  template.innerHTML = text; // the server has escaped every value in it
  return template.content.firstElementChild;
}

function updateTable(body, update) {
  const known = new Map(findAll("tr", body).map((row) => [row.dataset.id, row]));
  const focused = body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.id : null;
  for (const [id, text] of Object.entries(update.rows)) {
    const row = parseRow(text);
    localize(row);
    const before = known.get(id);
    if (before && before.textContent !== row.textContent) row.classList.add("fresh");
    before?.replaceWith(row);
    known.set(id, row);
  }
  const wanted = update.order.map((id) => known.get(id)).filter(Boolean);
  if (wanted.length !== body.children.length || wanted.some((row, at) => body.children[at] !== row)) {
    body.replaceChildren(...wanted);
  }
  if (focused && !body.contains(document.activeElement)) find("a", known.get(focused) ?? body)?.focus();
}

function startTable(table) {
  const body = find("tbody", table);
  const form = find(".filters");
  let asked = false;
  const reopen = follow(
    () => table.dataset.table + location.search,
    (update) => {
      updateTable(body, update);
      find("[data-summary]").textContent = update.summary;
      const pages = find("[data-pages]");
      if (!pages.contains(document.activeElement)) pages.innerHTML = update.pages;
      find("[data-empty]").hidden = update.order.length > 0;
      if (asked) find("[data-said]").textContent = update.summary;
      asked = false;
    },
  );
  let timer = 0;
  const choose = () => {
    const values = [...new FormData(form)].filter(([, value]) => value);
    history.replaceState(null, "", `${location.pathname}?${new URLSearchParams(values)}`);
    asked = true;
    reopen();
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(choose, 250);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    choose();
  });
}

// One sandbox

function startLive(part) {
  follow(
    () => part.dataset.live,
    (update) => {
      const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
      part.innerHTML = update.html; // the server has escaped every value in it
      guardForms(part);
      if (focused) document.getElementById(focused)?.focus();
    },
  );
}

// The log: text, whatever is in it. What is far above is forgotten.

const MOST_LOG = 2 ** 20;

function startLog(form) {
  const lines = find("[data-lines]");
  const said = find("[data-log-said]");
  let reading = null;
  async function read() {
    reading?.abort();
    reading = new AbortController();
    const { signal } = reading;
    lines.hidden = false;
    lines.textContent = "";
    said.textContent = "";
    const values = [...new FormData(form)].filter(([, value]) => value);
    try {
      const answer = await fetch(`${form.dataset.log}?${new URLSearchParams(values)}`, { signal });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) {
        lines.hidden = true;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        said.textContent = find("main p", page)?.textContent ?? `The log cannot be read (${answer.status}).`;
        return;
      }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
        lines.append(part.value);
        let size = 0;
        for (const piece of [...lines.childNodes].reverse()) {
          if (size > MOST_LOG) piece.remove();
          size += piece.length;
        }
        if (atEnd) lines.scrollTop = lines.scrollHeight;
      }
      said.textContent = lines.textContent ? "This is the end of the log." : "The log is empty.";
    } catch (error) {
      if (!signal.aborted) said.textContent = "The log broke off. Show it again.";
    }
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    read();
  });
  form.addEventListener("change", () => lines.hidden || read());
  addEventListener("pagehide", () => reading?.abort());
}

// A change takes some seconds, and must not be sent twice.
function guardForms(within) {
  for (const form of findAll("form[method=post]", within)) {
    form.addEventListener("submit", () => {
      const button = find("button", form);
      setTimeout(() => (button.disabled = true));
      addEventListener("pageshow", () => (button.disabled = false), { once: true });
    });
  }
}

function start() {
  localize();
  setInterval(localize, 10000);
  const table = find("[data-table]");
  if (table) startTable(table);
  const part = find("[data-live]");
  if (part) startLive(part);
  const log = find("[data-log]");
  if (log) startLog(log);
  guardForms(document);
}

start();
