"use strict";

// What is shown in both languages. Texts of documents are put into the page as text alone, never as HTML.
const WORDS = {
  en: {
    title: "Find by meaning", query: "A job title, a few words, or a whole text", search: "Search",
    drop: "or drop a résumé here: PDF, DOCX or text", hybrid: "count the same words too", filters: "Only those with",
    skip: "To the results", any: "any", from: "from", to: "to", yes: "yes", no: "no", token: "Token of the service",
    enter: "Enter", other: "По-русски", searching: "Searching…", none: "Nothing is left by these filters.",
    found: (n, ms) => `${n} found in ${ms} ms`, whole: "Whole text", similar: "Similar", like: "Similar to",
    words: "Same words", nearest: "Nearest sentence is marked", meaning: "meaning", lexical: "words", rerank: "re-ranked",
    about: (n) => `${n.toLocaleString("en")} documents.`, lost: "The service does not answer. Is it running?",
    read: (name) => `Read from ${name}`, approximate: "approximate search",
  },
  ru: {
    title: "Поиск по смыслу", query: "Должность, несколько слов или целый текст", search: "Найти",
    drop: "или перетащите резюме: PDF, DOCX или текст", hybrid: "учитывать и совпадение слов", filters: "Только с",
    skip: "К результатам", any: "любое", from: "от", to: "до", yes: "да", no: "нет", token: "Токен сервиса",
    enter: "Войти", other: "In English", searching: "Ищем…", none: "С такими условиями ничего нет.",
    found: (n, ms) => `Найдено: ${n}, за ${ms} мс`, whole: "Весь текст", similar: "Похожие", like: "Похожие на",
    words: "Общие слова", nearest: "Отмечено самое близкое предложение", meaning: "смысл", lexical: "слова",
    rerank: "уточнено", about: (n) => `Документов: ${n.toLocaleString("ru")}.`,
    lost: "Сервис не отвечает. Запущен ли он?", read: (name) => `Прочитано: ${name}`, approximate: "приближённый поиск",
  },
};
const at = (id) => document.getElementById(id);
let language = recalled("language") || (navigator.language.startsWith("ru") ? "ru" : "en");
let columns = [], last = null, shown = null, asking = 0;
const say = (name) => WORDS[language][name];

function recalled(name) { try { return sessionStorage.getItem(name); } catch { return null; } }
function remember(name, value) { try { sessionStorage.setItem(name, value); } catch { /* a private window */ } }

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

async function ask(path, options = {}) {
  const token = recalled("token");
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  const content = await response.json();
  if (response.status === 401 && (await asked())) return ask(path, options);
  if (!response.ok) throw new Error(content.message || response.statusText);
  return content;
}

function asked() {
  return new Promise((done) => {
    at("token").value = "";
    at("ask").onclose = () => { remember("token", at("token").value); done(Boolean(at("token").value)); };
    at("ask").showModal();
  });
}

function filters() {
  const found = {};
  for (const { name, kind } of columns) {
    const own = [...at("columns").querySelectorAll("[data-column]")].filter((input) => input.dataset.column === name);
    if (kind === "number") {
      const bounds = {};
      for (const input of own) if (input.value !== "") bounds[input.dataset.bound] = Number(input.value);
      if (Object.keys(bounds).length) found[name] = bounds;
    } else if (own[0].value !== "") {
      found[name] = kind === "yes/no" ? own[0].value === "true" : own[0].value;
    }
  }
  return found;
}

const options = () => ({ k: 10, explain: true, filters: filters(), hybrid: at("hybrid").checked ? "score" : null });

async function run(job, note = "") {
  last = [job, note];
  const number = ++asking, start = performance.now();
  tell(say("searching"));
  try {
    const answer = await job();
    if (number !== asking) return;
    shown = answer;
    const found = answer.hits.length ? say("found")(answer.hits.length, Math.round(performance.now() - start)) : say("none");
    tell([note, found, answer.exact ? "" : say("approximate")].filter(Boolean).join(" · "));
    show();
  } catch (error) {
    if (number === asking) tell(error instanceof TypeError ? say("lost") : error.message, true);
  }
}

function tell(text, wrong = false) { at("status").textContent = text; at("status").className = wrong ? "wrong" : ""; }

function search() {
  const query = at("query").value;
  if (!query.trim()) return;
  const body = JSON.stringify({ query, ...options() });
  run(() => ask("search", { method: "POST", headers: { "Content-Type": "application/json" }, body }));
}

function send(file) {
  if (!file) return;
  // Headers are of Latin letters alone.
  const own = JSON.stringify(options()).replace(/[^\x20-\x7e]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const headers = { "Content-Type": "application/octet-stream", "X-Options": own };
  run(() => ask("resume", { method: "POST", headers, body: file }), say("read")(file.name));
}

function similar(hit, title) {
  const body = JSON.stringify({ document: hit.document, ...options() });
  run(() => ask("similar", { method: "POST", headers: { "Content-Type": "application/json" }, body }), `${say("like")} “${title}”`);
  window.scrollTo(0, 0);
}

// The letters begin to end, with the passage and what is marked in it apart. Places count code points.
function pieces(letters, hit, begin, end) {
  const cuts = [begin, end, hit.begin, hit.end, ...hit.marks.flat()].filter((cut) => cut >= begin && cut <= end);
  const places = [...new Set(cuts)].sort((one, other) => one - other);
  return places.slice(0, -1).map((from, number) => {
    const to = places[number + 1], text = letters.slice(from, to).join("");
    if (hit.marks.some(([first, last]) => from >= first && to <= last)) return element("mark", {}, text);
    return element("span", { className: from >= hit.begin && to <= hit.end ? "passage" : "" }, text);
  });
}

function excerpt(letters, hit) {
  const [first, final] = hit.marks[0] || [hit.begin, hit.end];
  const begin = Math.max(hit.begin, Math.min(first - 120, hit.end - 420)), end = Math.min(hit.end, Math.max(final + 120, begin + 420));
  const parts = pieces(letters, hit, begin, end).map((part) => (part.tagName === "MARK" ? part : part.textContent));
  return element("p", { className: "text" }, begin > 0 ? "… " : "", ...parts, end < letters.length ? " …" : "");
}

function card(hit, number) {
  const letters = Array.from(hit.text);
  const first = hit.text.trim().split("\n", 1)[0];
  const title = first.length > 110 ? `${Array.from(first).slice(0, 110).join("")}…` : first;
  const facts = Object.entries(hit.metadata).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value === true ? say("yes") : value === false ? say("no") : value}`);
  const names = { meaning: say("meaning"), words: say("lexical"), rerank: say("rerank") };
  const scores = Object.entries(hit.scores).map(([name, value]) => `${names[name]} ${value.toFixed(3)}`).join(", ");
  const why = [scores, hit.words.length ? `${say("words")}: ${hit.words.join(", ")}` : "", hit.marks.length ? say("nearest") : ""];
  const whole = element("details", {}, element("summary", {}, say("whole")));
  whole.addEventListener("toggle", () => {
    if (whole.open && whole.children.length === 1) whole.append(element("p", { className: "text" }, ...pieces(letters, hit, 0, letters.length)));
  });
  return element("li", { className: "hit" },
    element("div", { className: "top" }, element("h2", {}, `${number}. ${title}`), element("span", { className: "score", title: say("meaning") }, hit.score.toFixed(3))),
    facts.length ? element("p", { className: "facts" }, facts.join(" · ")) : null,
    excerpt(letters, hit),
    element("p", { className: "why" }, why.filter(Boolean).join(" · ")),
    whole,
    element("button", { type: "button", onclick: () => similar(hit, title) }, say("similar")));
}

function show() { if (shown) at("hits").replaceChildren(...shown.hits.map((hit, place) => card(hit, place + 1))); }

function field(column) {
  const own = { "data-column": column.name };
  const input = (properties, extra) => {
    const made = element("input", properties);
    for (const [name, value] of Object.entries({ ...own, ...extra })) made.setAttribute(name, value);
    return made;
  };
  if (column.kind === "number") {
    const two = ["from", "to"].map((bound) => input({ type: "number", step: "any", placeholder: say(bound) }, { "data-bound": bound, "aria-label": `${column.name} ${say(bound)}` }));
    return element("label", {}, column.name, element("span", { className: "two" }, ...two));
  }
  const values = column.kind === "yes/no" ? [["true", say("yes")], ["false", say("no")]] : column.values.map((value) => [value, value]);
  if (!values.length) return element("label", {}, column.name, input({ type: "text", className: "value" }, {}));
  const select = element("select", {}, element("option", { value: "" }, say("any")), ...values.map(([value, text]) => element("option", { value }, text)));
  select.setAttribute("data-column", column.name);
  return element("label", {}, column.name, select);
}

function write() {
  document.documentElement.lang = language;
  document.title = say("title");
  for (const part of document.querySelectorAll("[data-text]")) part.textContent = say(part.dataset.text);
  at("language").textContent = say("other");
  at("language").lang = language === "ru" ? "en" : "ru";
  at("filters").hidden = !columns.length;
  const kept = [...at("columns").querySelectorAll("[data-column]")].map((input) => input.value);
  at("columns").replaceChildren(...columns.map(field));
  [...at("columns").querySelectorAll("[data-column]")].forEach((input, place) => { input.value = kept[place] ?? ""; });
  show();
}

async function start() {
  write();
  try {
    const health = await ask("health");
    columns = health.filters;
    at("about").textContent = say("about")(health.documents);
    at("about").dataset.count = health.documents;
    write();
  } catch { tell(say("lost"), true); }
}

at("form").addEventListener("submit", (event) => { event.preventDefault(); search(); });
at("query").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); search(); }
});
at("columns").addEventListener("change", () => again());
at("hybrid").addEventListener("change", () => again());
function again() { if (at("file").files[0] && last && last[1]) send(at("file").files[0]); else search(); }
at("file").addEventListener("change", () => send(at("file").files[0]));
at("language").addEventListener("click", () => {
  language = language === "ru" ? "en" : "ru";
  remember("language", language);
  write();
  if (at("about").dataset.count) at("about").textContent = say("about")(Number(at("about").dataset.count));
});
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
window.addEventListener("dragover", () => at("drop").classList.add("over"));
window.addEventListener("dragleave", () => at("drop").classList.remove("over"));
window.addEventListener("drop", (event) => { at("drop").classList.remove("over"); send(event.dataTransfer.files[0]); });
start();
