"use strict";

const HEIGHT = 22;
const PLAIN = 0, SIGNED = 1;
const UNITS = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };
const KINDS = {
  data: ["READ", "WRITE", "COPY_FILE_RANGE", "COPY_FILE_RANGE_64", "FALLOCATE", "LSEEK", "FSYNC", "FLUSH", "SYNCFS"],
  names: ["LOOKUP", "CREATE", "MKNOD", "MKDIR", "UNLINK", "RMDIR", "RENAME", "RENAME2", "LINK", "SYMLINK", "TMPFILE"],
  attributes: ["GETATTR", "SETATTR", "STATX", "GETXATTR", "SETXATTR", "LISTXATTR", "REMOVEXATTR", "ACCESS", "STATFS",
    "READLINK"],
  directories: ["OPENDIR", "READDIR", "READDIRPLUS", "RELEASEDIR", "FSYNCDIR"],
};
const WORDS = ["opcode", "path", "pid", "program", "error", "slower"];

const $ = (id) => document.getElementById(id);

function made(name, kind, text) {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  if (text !== undefined) element.textContent = text;
  return element;
}

async function unpacked(id) {
  const raw = atob($(id).textContent);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at++) bytes[at] = raw.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

let trace, content, columns, texts, kindOf;
let order; // all rows by time
let shown; // of those, the ones that the filter lets through
let chosen = -1; // a row
let lanes, laneCount;
let view = { from: 0, to: 1 };
let end = 1;

const text = (column, row) => texts[columns[column][row]];

function duration(ns) {
  if (ns < 0) return "";
  if (ns < 1e6) return `${Math.round(ns / 1e3)} us`;
  return ns < 1e9 ? `${(ns / 1e6).toFixed(1)} ms` : `${(ns / 1e9).toFixed(2)} s`;
}

// The filter: the words of `rawfuse decode` as word:value, word=value or --word value; all else is text to be found.

function glob(pattern) {
  const parts = [];
  for (let at = 0; at < pattern.length; at++) {
    const close = pattern[at] === "[" ? pattern.indexOf("]", at + 2) : -1;
    if (close > 0) {
      const inside = pattern.slice(at + 1, close).replace(/\\/g, "\\\\");
      parts.push(`[${inside.startsWith("!") ? "^" + inside.slice(1) : inside}]`);
      at = close;
    } else {
      const char = pattern[at];
      parts.push(char === "*" ? "[^]*" : char === "?" ? "[^]" : char.replace(/[\\^$.|+(){}[\]]/, "\\$&"));
    }
  }
  return new RegExp(`^${parts.join("")}$`);
}

const FILTERS = {
  opcode(value) {
    const patterns = value.toUpperCase().split(",").map((word) => {
      const pattern = glob(/^\d+$/.test(word) ? trace.opcodes[word] || `OPCODE_${word}` : word);
      if (!/^\d+$/.test(word) && !trace.labels.some((label) => pattern.test(label))) {
        throw new Error(`no opcode is called ${word}`);
      }
      return pattern;
    });
    return (row) => patterns.some((pattern) => pattern.test(text("opcode", row)));
  },
  path(value) {
    const below = value.replace(/\/+$/, "") + "/";
    const pattern = /[*?[]/.test(value) ? glob(value) : null;
    const one = (path) => (pattern ? pattern.test(path) : path === value || path.startsWith(below));
    return (row) => ["path", "newpath"].some((column) => columns[column][row] && one(text(column, row)));
  },
  pid(value) {
    if (!/^\d+$/.test(value)) throw new Error(`${value} is no pid`);
    return (row) => columns.pid[row] === Number(value) && columns.sent[row] >= 0;
  },
  program(value) {
    const pattern = glob(value);
    return (row) => columns.sent[row] >= 0 && pattern.test(text("program", row));
  },
  error(value) {
    if (value.toLowerCase() === "any") return (row) => columns.errno[row] > 0;
    if (/^\d+$/.test(value)) return (row) => columns.answer[row] >= 0 && columns.errno[row] === Number(value);
    const name = value.toUpperCase();
    if (!/^E[A-Z0-9]+$/.test(name)) throw new Error(`${value} is no errno: ENOENT, a number, or any`);
    return (row) => text("error", row) === name;
  },
  slower(value) {
    const found = /^(\d+\.?\d*|\.\d+)(ns|us|ms|s)?$/.exec(value);
    if (!found) throw new Error(`${value} is no duration: 250us, 1.5ms, 2s`);
    const least = Number(found[1]) * UNITS[found[2] || "ms"];
    return (row) => columns.latency[row] > least;
  },
};

function containing(needle) {
  const wanted = needle.toLowerCase();
  const has = texts.map((one) => one.toLowerCase().includes(wanted));
  const where = ["opcode", "path", "newpath", "arguments", "outcome", "program", "problem"].map((name) => columns[name]);
  return (row) => where.some((column) => has[column[row]]);
}

function parsed(question) {
  const words = (question.match(/(?:[^\s"]|"[^"]*"?)+/g) || []).map((word) => word.replace(/"/g, ""));
  const filters = [];
  while (words.length) {
    const word = words.shift();
    const found = /^(?:--)?([a-z]+)[:=](.*)$/.exec(word);
    const long = /^--([a-z]+)$/.exec(word);
    const name = found ? found[1] : long ? long[1] : "";
    if (!WORDS.includes(name)) {
      filters.push(containing(word));
      continue;
    }
    const value = found ? found[2] : words.shift();
    if (!value) throw new Error(`${name}: of what?`);
    filters.push(FILTERS[name](value));
  }
  return filters;
}

function ask() {
  const question = $("filter").value;
  let filters;
  try {
    filters = parsed(question);
  } catch (error) {
    $("said").textContent = error.message;
    $("said").className = "wrong";
    return;
  }
  shown = order.filter((row) => filters.every((one) => one(row)));
  $("said").className = "";
  $("said").textContent = `${shown.length} of ${order.length}`;
  history.replaceState(null, "", `#${encodeURIComponent(question)}`);
  $("height").style.height = `${shown.length * HEIGHT}px`;
  list();
  draw();
  if ($("figures").open) figures();
}

// The list: only the lines that are seen are in the page.

function line(row) {
  const element = made("div", row === chosen ? "row chosen" : "row");
  element.dataset.row = row;
  element.setAttribute("role", "option");
  element.setAttribute("aria-selected", String(row === chosen));
  const kind = kindOf(text("opcode", row)), latency = columns.latency[row];
  const path = text("path", row), newpath = text("newpath", row);
  const about = [newpath ? `${path} -> ${newpath}` : path, text("arguments", row)].filter(Boolean).join(" ");
  const failed = columns.errno[row] || columns.problem[row];
  const outcome = [text("outcome", row), text("problem", row)].filter(Boolean).join(" ");
  const bar = made("span", `bar ${failed ? "failed" : kind}`);
  if (latency >= 0) {
    // From a microsecond to a second, each tenfold as long as the next.
    const part = Math.max(2, Math.min(100, (Math.log10(Math.max(latency, 1e3)) - 3) * (100 / 6)));
    bar.appendChild(made("i")).style.width = `${part}%`;
  }
  const pid = columns.pid[row];
  element.append(
    made("span", "when", (columns.time[row] / 1e9).toFixed(6)),
    made("span", `what ${kind}`, text("opcode", row)),
    made("span", "about", about),
    made("span", failed ? "outcome failed" : "outcome", outcome),
    made("span", "took", duration(latency)),
    bar,
    made("span", "who", pid || columns.program[row] ? `${text("program", row)}[${pid}]` : ""),
  );
  element.title = `${about}\n${outcome}`;
  return element;
}

function list() {
  const first = Math.max(0, Math.floor($("list").scrollTop / HEIGHT) - 5);
  const last = Math.min(shown.length, first + Math.ceil($("list").clientHeight / HEIGHT) + 10);
  $("rows").style.transform = `translateY(${first * HEIGHT}px)`;
  $("rows").replaceChildren(...shown.slice(first, last).map(line));
}

function choose(row, scroll) {
  chosen = row;
  const place = shown.indexOf(row), box = $("list");
  if (scroll && place >= 0) {
    const top = place * HEIGHT;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + HEIGHT - box.clientHeight;
  }
  list();
  draw();
  pane(row);
}

// The bytes of a request and of its reply.

function fieldText(message, field) {
  const [offset, length, kind] = field;
  if (kind !== PLAIN && kind !== SIGNED) return null;
  let value = 0n;
  for (let at = length - 1; at >= 0; at--) value = (value << 8n) | BigInt(content[message[1] + offset + at]);
  return String(kind === SIGNED ? BigInt.asIntN(8 * length, value) : value);
}

function fieldsOf(message) {
  const shape = trace.shapes[message[0]], found = [];
  let next = 4;
  for (let at = 0; at < shape.length; at += 4) {
    const field = shape.slice(at, at + 4);
    const plain = fieldText(message, field);
    found.push({ offset: field[0], length: field[1], name: field[3], text: plain ?? texts[message[next++]] });
  }
  return found;
}

function hexOf(message, fields, label) {
  const [, start, kept, whole] = message;
  const box = made("section");
  box.dataset.message = label;
  box.append(made("h2", "", `${label}, ${whole} bytes`));
  const hex = made("pre", "hex"), owner = new Int32Array(kept).fill(-1);
  fields.forEach((field, number) => owner.fill(number, field.offset, Math.min(kept, field.offset + field.length)));
  for (let at = 0; at < kept; at += 16) {
    hex.append(made("span", "offset", at.toString(16).padStart(6, "0") + "  "));
    let printable = "";
    for (let byte = at; byte < Math.min(at + 16, kept); byte++) {
      const value = content[start + byte];
      const one = made("span", owner[byte] < 0 ? "byte" : `byte c${owner[byte] % 6}`, value.toString(16).padStart(2, "0"));
      one.dataset.field = owner[byte];
      hex.append(one, byte % 8 === 7 ? "  " : " ");
      printable += value >= 32 && value < 127 ? String.fromCharCode(value) : ".";
    }
    const missing = 16 - (Math.min(at + 16, kept) - at);
    hex.append(" ".repeat(missing * 3 + (missing > 8 ? 2 : missing > 0 ? 1 : 0)) + printable + "\n");
  }
  box.append(hex);
  if (kept < whole) box.append(made("p", "", `${whole - kept} more bytes are not on this page`));
  const names = made("ul", "fields");
  fields.forEach((field, number) => {
    const item = made("li");
    item.dataset.field = number;
    item.append(made("b", `c${number % 6}`, field.name), field.text ? ` = ${field.text}` : "");
    item.title = `bytes ${field.offset} to ${field.offset + field.length - 1}`;
    names.append(item);
  });
  box.append(names);
  return box;
}

function pane(row) {
  const head = made("h2", "", `${text("opcode", row)} ${text("path", row)}`);
  const said = made("p", "", [text("arguments", row), text("outcome", row), text("problem", row)].filter(Boolean).join("; "));
  const parts = [head, said];
  for (const [column, label] of [["sent", "request"], ["answer", columns.sent[row] < 0 ? "message" : "reply"]]) {
    const message = trace.messages[columns[column][row]];
    if (message) parts.push(hexOf(message, fieldsOf(message), label));
  }
  $("pane").replaceChildren(...parts);
}

function mark(event) {
  const on = event.target.closest("[data-field]");
  for (const element of $("pane").querySelectorAll(".on")) element.classList.remove("on");
  if (!on) return;
  const same = on.closest("section").querySelectorAll(`[data-field="${on.dataset.field}"]`);
  for (const element of same) element.classList.add("on");
  if (event.type === "click") same[0].scrollIntoView({ block: "nearest" });
}

// The timeline: requests that are in flight together are in lanes of their own.

function settle() {
  const free = [];
  lanes = new Uint16Array(order.length);
  for (const row of order) {
    const from = columns.time[row], to = from + Math.max(columns.latency[row], 0);
    let lane = free.findIndex((until) => until <= from);
    if (lane < 0) lane = free.length < 64 ? free.length : 63;
    free[lane] = Math.max(to, from + 1);
    lanes[row] = lane;
    end = Math.max(end, to, from);
  }
  laneCount = Math.max(1, free.length);
  view = { from: 0, to: end };
}

const place = (canvas, time) => ((time - view.from) / (view.to - view.from)) * canvas.width;

function draw() {
  const canvas = $("bars"), ratio = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const colours = {};
  for (const kind of [...Object.keys(KINDS), "life", "error"]) colours[kind] = style.getPropertyValue(`--${kind}`);
  pen.clearRect(0, 0, width, height);
  const step = Math.min(height / laneCount, 18 * ratio), thick = Math.max(1, step * 0.8);
  for (const row of shown) {
    const left = place(canvas, columns.time[row]);
    const right = place(canvas, columns.time[row] + Math.max(columns.latency[row], 0));
    if (right < 0 || left > width) continue;
    pen.fillStyle = columns.errno[row] || columns.problem[row] ? colours.error : colours[kindOf(text("opcode", row))];
    pen.fillRect(left, lanes[row] * step, Math.max(right - left, ratio), thick);
  }
  if (chosen >= 0) {
    const left = place(canvas, columns.time[chosen]);
    const long = Math.max(place(canvas, columns.time[chosen] + Math.max(columns.latency[chosen], 0)) - left, ratio);
    pen.strokeStyle = style.getPropertyValue("--fore");
    pen.lineWidth = 2 * ratio;
    pen.strokeRect(left - ratio, lanes[chosen] * step - ratio, long + 2 * ratio, thick + 2 * ratio);
  }
  $("from").textContent = `${(view.from / 1e9).toFixed(6)} s`;
  $("to").textContent = `${(view.to / 1e9).toFixed(6)} s`;
}

function under(event) {
  const canvas = $("bars"), box = canvas.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * canvas.width;
  const y = ((event.clientY - box.top) / box.height) * canvas.height;
  const step = Math.min(canvas.height / laneCount, 18 * (devicePixelRatio || 1));
  let best = -1, least = 8;
  for (const row of shown) {
    if (Math.floor(y / step) !== lanes[row]) continue;
    const left = place(canvas, columns.time[row]);
    const right = place(canvas, columns.time[row] + Math.max(columns.latency[row], 0));
    const away = x < left ? left - x : x > right ? x - right : 0;
    if (away < least) [best, least] = [row, away];
  }
  return best;
}

function zoom(event) {
  event.preventDefault();
  const box = $("bars").getBoundingClientRect();
  const at = view.from + ((event.clientX - box.left) / box.width) * (view.to - view.from);
  const factor = event.deltaY > 0 ? 1.25 : 0.8;
  const span = Math.max(1000, Math.min(end, (view.to - view.from) * factor));
  const part = (at - view.from) / (view.to - view.from);
  move(at - part * span, span);
}

function move(from, span) {
  const start = Math.max(0, Math.min(end - span, from));
  view = { from: start, to: start + span };
  draw();
}

function drag(event) {
  const canvas = $("bars"), x = event.clientX, from = view.from, span = view.to - view.from;
  let moved = false;
  const onMove = (now) => {
    moved = moved || Math.abs(now.clientX - x) > 3;
    if (moved) move(from - ((now.clientX - x) / canvas.clientWidth) * span, span);
  };
  const onUp = (now) => {
    removeEventListener("pointermove", onMove);
    removeEventListener("pointerup", onUp);
    const row = moved ? -1 : under(now);
    if (row >= 0) choose(row, true);
  };
  addEventListener("pointermove", onMove);
  addEventListener("pointerup", onUp);
}

// Figures of what is shown

function figures() {
  const found = new Map();
  for (const row of shown) {
    const name = text("opcode", row);
    if (!found.has(name)) found.set(name, { count: 0, errors: 0, took: [] });
    const one = found.get(name);
    one.count++;
    if (columns.errno[row]) one.errors++;
    if (columns.latency[row] >= 0) one.took.push(columns.latency[row]);
  }
  const rows = [...found].sort((a, b) => b[1].count - a[1].count).map(([name, one]) => {
    one.took.sort((a, b) => a - b);
    const at = (part) => (one.took.length ? duration(one.took[Math.min(one.took.length - 1, Math.floor(part * one.took.length))]) : "");
    const line = made("tr");
    line.dataset.opcode = name;
    line.append(...[name, one.count, one.errors, at(0.5), at(0.99), at(1)].map((cell) => made("td", "", String(cell))));
    return line;
  });
  $("counts").replaceChildren(...rows);
}

function keys(event) {
  if (event.key === "/" && event.target !== $("filter")) {
    event.preventDefault();
    $("filter").focus();
  } else if (event.key === "Escape" && event.target === $("filter")) {
    $("filter").value = "";
    ask();
  } else if (["ArrowDown", "ArrowUp"].includes(event.key) && shown.length) {
    event.preventDefault();
    const at = shown.indexOf(chosen) + (event.key === "ArrowDown" ? 1 : -1);
    choose(shown[Math.max(0, Math.min(shown.length - 1, at))], true);
  }
}

function listen() {
  let later = 0;
  $("filter").addEventListener("input", () => {
    clearTimeout(later);
    later = setTimeout(ask, 80);
  });
  $("list").addEventListener("scroll", list);
  $("list").addEventListener("click", (event) => {
    const line = event.target.closest(".row");
    if (line) choose(Number(line.dataset.row));
  });
  for (const kind of ["mouseover", "click"]) $("pane").addEventListener(kind, mark);
  $("figures").addEventListener("toggle", figures);
  $("counts").addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    $("filter").value = `opcode:${line.dataset.opcode}`;
    ask();
  });
  $("bars").addEventListener("wheel", zoom, { passive: false });
  $("bars").addEventListener("pointerdown", drag);
  $("bars").addEventListener("dblclick", () => move(0, end));
  document.addEventListener("keydown", keys);
  addEventListener("resize", () => { list(); draw(); });
  addEventListener("hashchange", fromAddress);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

function fromAddress() {
  try {
    $("filter").value = decodeURIComponent(location.hash.slice(1));
  } catch {
    $("filter").value = ""; // somebody else's fragment
  }
  ask();
}

async function main() {
  trace = JSON.parse(new TextDecoder().decode(await unpacked("columns")));
  content = await unpacked("content");
  ({ columns, texts } = trace);
  const kinds = new Map(Object.entries(KINDS).flatMap(([kind, names]) => names.map((name) => [name, kind])));
  kindOf = (name) => kinds.get(name) || "life";
  order = columns.time.map((_, row) => row).sort((a, b) => columns.time[a] - columns.time[b] || a - b);
  settle();
  listen();
  fromAddress();
  document.documentElement.dataset.ready = "yes";
}

main().catch((error) => {
  $("said").textContent = `this page cannot be shown: ${error}`;
  $("said").className = "wrong";
});
