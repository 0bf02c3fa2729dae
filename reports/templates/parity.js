"use strict";
// The table of single checks. The state of the filters is the address: #checks?loss=mse_loss&verdict=match,
// and one check is #check=ID. Text from the record only ever becomes text nodes.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { tables, columns, verdicts } = data;
  const total = columns.verdict.length;
  const form = document.getElementById("filters");
  const results = document.getElementById("results");
  const head = results.querySelector("thead tr");
  const body = results.querySelector("tbody");
  const shown = document.getElementById("shown");
  const more = document.getElementById("more");
  const PAGE = 100;
  const PICKS = ["backend", "loss", "implementation", "aspect", "dtype", "device", "mode"];
  const severity = new Map(data.severity.map((verdict, rank) => [verdict, rank]));

  const word = (name, row) => tables[name][columns[name][row]];
  const number = (value) => (value === null ? -1 : value === "nan" || value === "inf" ? Infinity : Number(value));
  const idOf = (row) =>
    data.ids[row] ??
    ["loss", "implementation", "case", "dtype", "device", "mode", "aspect"].map((name) => word(name, row)).join("/");

  // The columns: [name, heading, how to sort]. Where every check says the same, the column says nothing.
  const SHOWN = [
    ["verdict", "Verdict", (row) => severity.get(word("verdict", row))],
    ["loss", "Loss"],
    ["implementation", "Implementation"],
    ["case", "Case"],
    ["aspect", "Aspect"],
    ["dtype", "Dtype"],
    ["device", "Device"],
    ["mode", "Mode"],
    ["ulp", "Error, ULP", (row) => -number(columns.ulp[row])],
    ["margin", "Error / tolerance", (row) => -number(columns.margin[row])],
    ["reason", "Reason"],
  ].filter(([name]) => !["device", "mode"].includes(name) || tables[name].length > 1);

  const state = { verdict: new Set(), text: "", sort: "verdict", limit: PAGE, open: null };
  for (const name of PICKS) state[name] = "";
  let rows = [];
  let haystack = null; // each check's ID and reason in lower case, made when text is first looked for

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function mark(verdict) {
    const sign = element("span", { class: "sign", "aria-hidden": "true" }, verdicts[verdict][0]);
    return element("span", { class: `mark v-${verdict}` }, sign, ` ${verdict}`);
  }

  function breakable(text) {
    const parts = text.split(/(?<=[._(:-])|(?<=[a-z0-9])(?=[A-Z])/);
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

  function matching() {
    const wanted = PICKS.filter((name) => state[name] !== "").map((name) => [columns[name], tables[name].indexOf(state[name])]);
    const terms = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    if (terms.length && !haystack) {
      haystack = columns.verdict.map((_, row) => `${idOf(row)} ${word("reason", row)}`.toLowerCase());
    }
    const found = [];
    for (let row = 0; row < total; row++) {
      if (state.verdict.size && !state.verdict.has(word("verdict", row))) continue;
      if (wanted.some(([column, index]) => column[row] !== index)) continue;
      if (terms.length && !terms.every((term) => haystack[row].includes(term))) continue;
      found.push(row);
    }
    const [name, , rank] = SHOWN.find(([each]) => each === state.sort);
    if (rank) found.sort((a, b) => rank(a) - rank(b) || a - b);
    else {
      const order = tables[name].map((text, i) => [text, i]).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      const place = [];
      order.forEach(([, i], at) => (place[i] = at));
      found.sort((a, b) => place[columns[name][a]] - place[columns[name][b]] || a - b);
    }
    return found;
  }

  function address(filters) {
    const parts = [];
    if (filters.verdict.size) parts.push(["verdict", [...filters.verdict].join(",")]);
    for (const name of PICKS) if (filters[name]) parts.push([name, filters[name]]);
    if (filters.text) parts.push(["text", filters.text]);
    if (filters.sort !== "verdict") parts.push(["sort", filters.sort]);
    return "#checks" + (parts.length ? "?" + parts.map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&") : "");
  }

  const linkTo = (row) => "#check=" + encodeURIComponent(idOf(row)).replace(/%(2F|3A|2C|3D)/g, decodeURIComponent);

  function line(row) {
    const made = element("tr", { "data-row": row });
    for (const [name] of SHOWN) {
      if (name === "verdict") made.append(element("td", {}, mark(word("verdict", row))));
      else if (name === "ulp" || name === "margin") made.append(element("td", { class: "n" }, figure(columns[name][row])));
      else if (name === "case") {
        const link = element("a", { href: linkTo(row), "aria-expanded": String(state.open === row) }, ...breakable(word("case", row)));
        made.append(element("th", { scope: "row" }, link));
      } else if (name === "reason") made.append(element("td", { class: "reason" }, element("span", {}, word("reason", row))));
      else made.append(element("td", {}, ...breakable(word(name, row))));
    }
    return made;
  }

  function fact(list, label, ...content) {
    list.append(element("div", {}, element("dt", {}, label), element("dd", {}, ...content)));
  }

  function detail(row) {
    const facts = element("dl", { class: "rows" });
    const box = element("div", { class: "one" }, facts);
    const worst = data.worst[row];
    const verdict = word("verdict", row);
    fact(facts, "Verdict", mark(verdict), ` ${verdicts[verdict][1]}`);
    if (word("reason", row)) fact(facts, "Reason", word("reason", row));
    if (columns.ulp[row] !== null) fact(facts, "Error", `${figure(columns.ulp[row])} ULP, ${figure(columns.margin[row]) || "?"} of the tolerance`);
    for (const [key, label] of [["got", "Got"], ["want", "Want"], ["tolerance", "Tolerance"], ["index", "At index"], ["at", "Inputs there"]]) {
      if (worst && worst[key]) fact(facts, label, element("code", {}, worst[key]));
    }
    fact(facts, "ID", element("code", {}, idOf(row)));
    const anchor = data.anchors[`${word("loss", row)}/${word("implementation", row)}`];
    if (anchor) fact(facts, "About", element("a", { href: `#${anchor}` }, word("implementation", row)));
    const id = idOf(row);
    const quoted = /^[\w@%+=:,./-]+$/.test(id) ? id : `'${id.replaceAll("'", `'"'"'`)}'`;
    const command = element("code", { class: "command" }, `lossparity explain ${quoted}`);
    box.append(element("p", {}, command));
    copyable(command);
    const cell = element("td", { colspan: SHOWN.length }, box);
    return element("tr", { class: "detail" }, cell);
  }

  function draw() {
    rows = matching();
    head.replaceChildren(
      ...SHOWN.map(([name, label]) => {
        const sorted = state.sort === name;
        const button = element("button", { type: "button", "data-sort": name }, label);
        const attributes = { scope: "col" };
        if (sorted) attributes["aria-sort"] = name === "ulp" || name === "margin" ? "descending" : "ascending";
        if (name === "ulp" || name === "margin") attributes.class = "n";
        return element("th", attributes, button);
      }),
    );
    const lines = [];
    for (const row of rows.slice(0, state.limit)) {
      lines.push(line(row));
      if (state.open === row) lines.push(detail(row));
    }
    body.replaceChildren(...lines);
    const left = rows.length - state.limit;
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(PAGE, left).toLocaleString("en")} more`;
    const of = rows.length === total ? "" : ` of ${total.toLocaleString("en")}`;
    const first = left > 0 ? `, the first ${state.limit.toLocaleString("en")} below` : "";
    shown.textContent = `${rows.length.toLocaleString("en")}${of} checks${first}.`;
    results.hidden = rows.length === 0;
  }

  // The choices of one list are those that the loss and backend chosen before it leave.
  function fill() {
    for (const name of PICKS) {
      const select = form.elements[name];
      const before = PICKS.slice(0, PICKS.indexOf(name)).filter((each) => state[each] && ["backend", "loss"].includes(each));
      const limits = before.map((each) => [columns[each], tables[each].indexOf(state[each])]);
      const left = new Set();
      for (let row = 0; row < total; row++) {
        if (limits.every(([column, index]) => column[row] === index)) left.add(columns[name][row]);
      }
      const chosen = tables[name].indexOf(state[name]);
      if (chosen >= 0) left.add(chosen);
      const options = [...left].map((index) => tables[name][index]);
      if (["loss", "implementation", "aspect"].includes(name)) options.sort();
      select.replaceChildren(element("option", { value: "" }, "all"), ...options.map((text) => element("option", { value: text }, text)));
      select.value = state[name];
      select.closest("label").hidden = tables[name].length < 2;
    }
    for (const box of form.querySelectorAll("[name=verdict]")) box.checked = state.verdict.has(box.value);
    form.elements.text.value = state.text;
  }

  function reset() {
    state.verdict = new Set();
    state.text = "";
    state.limit = PAGE;
    state.open = null;
    for (const name of PICKS) state[name] = "";
  }

  function changed() {
    state.limit = PAGE;
    state.open = null;
    history.replaceState(null, "", address(state));
    fill();
    draw();
  }

  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  }

  // Follow the address: a filter, one check, or any other place of the page, which the browser finds by itself.
  function follow() {
    const hash = location.hash;
    if (hash.startsWith("#check=")) {
      open(decoded(hash.slice(7)));
    } else if (hash === "#checks" || hash.startsWith("#checks?")) {
      reset();
      state.sort = "verdict";
      for (const [key, value] of new URLSearchParams(hash.slice(8))) {
        if (key === "verdict") state.verdict = new Set(value.split(",").filter((each) => Object.hasOwn(verdicts, each)));
        else if (key === "text") state.text = value;
        else if (key === "sort" && SHOWN.some(([name]) => name === value)) state.sort = value;
        else if (PICKS.includes(key) && tables[key].includes(value)) state[key] = value;
      }
      fill();
      draw();
      document.getElementById("checks").scrollIntoView();
    }
  }

  function open(id) {
    let row = 0;
    while (row < total && idOf(row) !== id) row++;
    if (row === total) {
      document.getElementById("checks").scrollIntoView();
      shown.textContent = `No check of this record has the ID ${id}`;
      return;
    }
    if (!rows.slice(0, state.limit).includes(row)) {
      reset();
      state.loss = word("loss", row);
      state.implementation = word("implementation", row);
      rows = matching();
      state.limit = Math.max(PAGE, rows.indexOf(row) + 1);
      fill();
    }
    state.open = row;
    draw();
    const opened = body.querySelector(`tr[data-row="${row}"]`);
    opened.scrollIntoView({ block: "center" });
    opened.querySelector("th a").focus({ preventScroll: true });
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
  head.addEventListener("click", (event) => {
    const name = event.target.dataset.sort;
    if (!name) return;
    state.sort = name;
    changed();
    head.querySelector(`[data-sort="${name}"]`).focus();
  });
  body.addEventListener("click", (event) => {
    const link = event.target.closest("th a");
    if (link && state.open === Number(link.closest("tr").dataset.row)) {
      event.preventDefault(); // a second click closes it
      changed();
    }
  });
  more.addEventListener("click", () => {
    state.limit += PAGE;
    draw();
  });
  addEventListener("hashchange", follow);
  for (const code of document.querySelectorAll("code.command")) copyable(code);
  form.hidden = false;
  fill();
  draw();
  follow();
})();
