// The table of single checks. The state of the filters is the address: #checks?loss=mse_loss&verdict=match,
// and one check is #check=ID. Text from the record only ever becomes text nodes.
const PICKS = ["backend", "loss", "implementation", "aspect", "dtype", "device", "mode"];
const COLUMNS = [
  ["verdict", "Verdict"],
  ["loss", "Loss"],
  ["implementation", "Implementation"],
  ["case", "Case"],
  ["aspect", "Aspect"],
  ["dtype", "Dtype"],
  ["device", "Device"],
  ["mode", "Mode"],
  ["ulp", "Error, ULP"],
  ["margin", "Error / tolerance"],
  ["reason", "Reason"],
];
const SHORTENED = 120; // characters of an argument, of which the whole is one press away

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function breakable(text) {
  const parts = text.split(/(?<=[._(:=,-])|(?<=[a-z0-9])(?=[A-Z])/);
  return parts.flatMap((part, i) => (i ? [element("wbr"), part] : [part]));
}

function figure(value) {
  if (value === null) return "";
  if (value === "inf") return "∞";
  if (value === "-inf") return "-∞";
  if (value === "nan") return "NaN";
  const size = Math.abs(value);
  if (size && (size >= 1e6 || size < 1e-3)) return value.toExponential(1).replace("e+", "e");
  return size >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

// A value of the record as it would be typed.
function typed(value) {
  if (Array.isArray(value)) return `[${value.map(typed).join(", ")}]`;
  if (value && typeof value === "object") return Object.entries(value).map(([name, each]) => `${name} = ${typed(each)}`).join(", ");
  return String(value);
}

function copyable(code) {
  const button = element("button", { type: "button", class: "copy", "aria-label": "Copy the command" }, "Copy");
  button.addEventListener("click", () => {
    const done = () => {
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    };
    const select = () => getSelection().selectAllChildren(code);
    if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, select);
    else select();
  });
  code.after(" ", button);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function start() {
  const source = document.getElementById("data");
  const checks = await checksOf(JSON.parse(source.textContent));
  source.remove();
  const { verdicts, anchors } = checks.head;
  const form = document.getElementById("filters");
  const results = document.getElementById("results");
  const table = results.querySelector("table");
  const headings = table.tHead.rows[0];
  const body = table.tBodies[0];
  const shown = document.getElementById("shown");
  // Where every check says the same, the column says nothing.
  const columns = COLUMNS.filter(([name]) => !["device", "mode"].includes(name) || checks.words[name].length > 1);
  const parts = { scroller: results, before: results.querySelector(".before"), body, after: results.querySelector(".after") };
  const list = virtualList(parts, line);

  const state = { verdict: new Set(), text: "", sort: "verdict", open: -1 };
  for (const name of PICKS) state[name] = "";
  let rows = new Uint32Array(0);

  function mark(verdict) {
    const sign = element("span", { class: "sign", "aria-hidden": "true" }, verdicts[verdict][0]);
    return element("span", { class: `mark v-${verdict}` }, sign, ` ${verdict}`);
  }

  const linkTo = (row) => "#check=" + encodeURIComponent(checks.id(row)).replace(/%(2F|3A|2C|3D)/g, decodeURIComponent);

  function cell(name, row) {
    if (NUMBERS.includes(name)) return element("td", { class: "n" }, figure(checks.number(name, row)));
    const text = checks.word(name, row);
    if (name === "verdict") return element("td", {}, mark(text));
    const short = element("span", { class: "two" }, ...(name === "reason" ? [text] : breakable(text)));
    if (name !== "case") return element("td", {}, short);
    return element("th", { scope: "row" }, element("a", { href: linkTo(row), "aria-expanded": String(state.open === row) }, short));
  }

  function line(row) {
    return element("tr", { "data-row": row }, ...columns.map(([name]) => cell(name, row)));
  }

  function fact(list, label, ...content) {
    list.append(element("div", {}, element("dt", {}, label), element("dd", {}, ...content)));
  }

  // A value, of which there is at first only the beginning if it is a long one.
  function value(text) {
    if (text.length <= SHORTENED) return element("code", {}, text);
    const summary = element("summary", {}, element("code", {}, `${text.slice(0, SHORTENED)}…`), ` ${text.length.toLocaleString("en")} characters`);
    return element("details", { class: "long" }, summary, element("code", {}, text));
  }

  async function detail(row) {
    const facts = element("dl", { class: "rows" });
    const verdict = checks.word("verdict", row), reason = checks.word("reason", row);
    const error = checks.number("ulp", row), margin = checks.number("margin", row);
    const worst = await checks.place(row);
    fact(facts, "Verdict", mark(verdict), ` ${verdicts[verdict][1]}`);
    if (reason) fact(facts, "Reason", reason);
    if (error !== null) fact(facts, "Error", `${figure(error)} ULP, ${figure(margin) || "?"} of the tolerance`);
    if (worst) {
      const { index, got, want, tolerance, at } = worst;
      if (want !== undefined) fact(facts, "Reference", value(typed(want)));
      if (got !== undefined) fact(facts, "Framework", value(typed(got)));
      if (Number.isFinite(got) && Number.isFinite(want)) fact(facts, "Difference", element("code", {}, String(Number((got - want).toPrecision(3)))));
      if (tolerance !== undefined) fact(facts, "Tolerance", element("code", {}, typed(tolerance)));
      if (index !== undefined) fact(facts, "At index", element("code", {}, typed(index)));
      const inputs = at && typeof at === "object" && !Array.isArray(at) ? Object.entries(at) : [["Inputs there", at]];
      for (const [name, each] of inputs) if (each !== undefined) fact(facts, name, value(typed(each)));
    } else if (error !== null && error !== 0) {
      fact(facts, "Inputs", "Not in this page, which has those of the worst checks; the command below shows them.");
    }
    const id = checks.id(row);
    fact(facts, "ID", element("code", {}, id));
    const anchor = anchors[`${checks.word("loss", row)}/${checks.word("implementation", row)}`];
    if (anchor) fact(facts, "About", element("a", { href: `#${anchor}` }, checks.word("implementation", row)));
    const quoted = /^[\w@%+=:,./-]+$/.test(id) ? id : `'${id.replaceAll("'", `'"'"'`)}'`;
    const command = element("code", { class: "command" }, `lossparity explain ${quoted}`);
    const box = element("div", { class: "one" }, facts, element("p", {}, "To reproduce: ", command));
    copyable(command);
    return element("tr", { class: "detail" }, element("td", { colspan: columns.length }, box));
  }

  function chosen(names) {
    return Object.fromEntries(names.filter((name) => state[name] !== "").map((name) => [name, state[name]]));
  }

  function draw() {
    const terms = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    rows = checks.sorted(checks.matching(chosen(PICKS), state.verdict, terms), state.sort);
    headings.replaceChildren(
      ...columns.map(([name, label]) => {
        const attributes = { scope: "col", class: `c-${name}${NUMBERS.includes(name) ? " n" : ""}` };
        if (state.sort === name) attributes["aria-sort"] = NUMBERS.includes(name) ? "descending" : "ascending";
        return element("th", attributes, element("button", { type: "button", "data-sort": name }, label));
      }),
    );
    results.hidden = rows.length === 0; // before the list, which measures
    list.show(rows);
    table.setAttribute("aria-rowcount", String(rows.length + 1));
    const of = rows.length === checks.total ? "" : ` of ${checks.total.toLocaleString("en")}`;
    const left = rows.length > list.count() ? `, the first ${list.count().toLocaleString("en")} below` : "";
    shown.textContent = `${rows.length.toLocaleString("en")}${of} checks${left}.`;
  }

  // The choices of one list are those that the loss and backend chosen before it leave.
  function fill() {
    for (const name of PICKS) {
      const select = form.elements[name];
      const options = checks.choices(name, chosen(PICKS.slice(0, PICKS.indexOf(name)).filter((each) => ["backend", "loss"].includes(each))));
      if (state[name] && !options.includes(state[name])) options.push(state[name]);
      if (["loss", "implementation", "aspect"].includes(name)) options.sort();
      select.replaceChildren(element("option", { value: "" }, "all"), ...options.map((text) => element("option", { value: text }, text)));
      select.value = state[name];
      select.closest("label").hidden = checks.words[name].length < 2;
    }
    for (const box of form.querySelectorAll("[name=verdict]")) box.checked = state.verdict.has(box.value);
    form.elements.text.value = state.text;
  }

  function reset() {
    state.verdict = new Set();
    state.text = "";
    state.open = -1;
    for (const name of PICKS) state[name] = "";
  }

  function address() {
    const found = [];
    if (state.verdict.size) found.push(["verdict", [...state.verdict].join(",")]);
    for (const name of PICKS) if (state[name]) found.push([name, state[name]]);
    if (state.text) found.push(["text", state.text]);
    if (state.sort !== "verdict") found.push(["sort", state.sort]);
    return "#checks" + (found.length ? "?" + found.map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&") : "");
  }

  function changed() {
    state.open = -1;
    history.replaceState(null, "", address());
    fill();
    draw();
  }

  // Open one row, which is among those shown, or with -1 none.
  async function unfold(row) {
    const before = body.querySelector(`tr[data-row="${state.open}"] th a`);
    const below = row < 0 ? null : await detail(row);
    before?.setAttribute("aria-expanded", "false");
    state.open = row;
    const index = row < 0 ? -1 : rows.indexOf(row);
    list.unfold(index, below);
    if (row < 0) return;
    const link = list.reveal(index).querySelector("th a");
    link.setAttribute("aria-expanded", "true");
    link.focus({ preventScroll: true });
  }

  async function open(id) {
    const row = checks.find(id);
    if (row < 0) {
      document.getElementById("checks").scrollIntoView();
      shown.textContent = `No check of this record has the ID ${id}`;
      return;
    }
    const index = rows.indexOf(row);
    if (index < 0 || index >= list.count()) {
      reset();
      state.loss = checks.word("loss", row);
      state.implementation = checks.word("implementation", row);
      fill();
      draw();
    }
    await unfold(row);
    results.scrollIntoView({ block: "center" });
  }

  // Follow the address: a filter, one check, or any other place of the page, which the browser finds by itself.
  async function follow() {
    const hash = location.hash;
    if (hash.startsWith("#check=")) {
      await open(decoded(hash.slice(7)));
    } else if (hash === "#checks" || hash.startsWith("#checks?")) {
      reset();
      state.sort = "verdict";
      for (const [key, text] of new URLSearchParams(hash.slice(8))) {
        if (key === "verdict") state.verdict = new Set(text.split(",").filter((each) => Object.hasOwn(verdicts, each)));
        else if (key === "text") state.text = text;
        else if (key === "sort" && columns.some(([name]) => name === text)) state.sort = text;
        else if (PICKS.includes(key) && checks.words[key].includes(text)) state[key] = text;
      }
      fill();
      draw();
      document.getElementById("checks").scrollIntoView();
    }
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    state.verdict = new Set([...form.querySelectorAll("[name=verdict]:checked")].map((box) => box.value));
    for (const name of PICKS) state[name] = form.elements[name].value;
    state.text = form.elements.text.value;
    changed();
  });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    reset();
    changed();
  });
  headings.addEventListener("click", (event) => {
    const name = event.target.dataset.sort;
    if (!name) return;
    state.sort = name;
    changed();
    headings.querySelector(`[data-sort="${name}"]`).focus();
  });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-row]");
    if (!row) return;
    const link = row.querySelector("th a");
    if (!link.contains(event.target)) {
      if (getSelection().isCollapsed) link.click(); // on a small screen the link may be out of sight
      return;
    }
    if (state.open !== Number(row.dataset.row)) return;
    event.preventDefault(); // a second click closes it
    history.replaceState(null, "", address());
    link.setAttribute("aria-expanded", "false");
    unfold(-1);
  });
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const link = event.target.closest("th a");
    if (!step || !link) return;
    event.preventDefault();
    const index = rows.indexOf(Number(link.closest("tr").dataset.row)) + step;
    if (index >= 0 && index < list.count()) list.reveal(index).querySelector("th a").focus({ preventScroll: true });
  });
  addEventListener("hashchange", follow);
  for (const code of document.querySelectorAll("code.command")) copyable(code);
  form.hidden = false;
  fill();
  draw();
  await follow();
  document.documentElement.dataset.ready = "";
}

start().catch((error) => {
  document.getElementById("shown").textContent = `The checks of this page cannot be read: ${error.message}. \`lossparity report\` makes it again.`;
  throw error;
});
