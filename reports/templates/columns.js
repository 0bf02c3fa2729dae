// The checks, as embedded.py packs them: what each says, by its row, and which of them are looked for.
const PARTS = ["loss", "implementation", "case", "dtype", "device", "mode", "aspect"];
const NUMBERS = ["ulp", "margin"];

async function checksOf(data) {
  const [head, calls, outcome, sizes, lines, line, numbers, ids, worst] = await Promise.all([
    unpack(data.head).then(([text]) => JSON.parse(text)),
    unpackAll(data.calls),
    unpack(data.outcome),
    unpack(data.sizes),
    unpack(data.lines),
    unpackAll(data.line),
    unpackAll(data.numbers),
    unpack(data.ids).then(([text]) => JSON.parse(text)),
    unpackAll({ row: data.worst.row, place: data.worst.place, got: data.worst.got, tolerance: data.worst.tolerance }),
  ]);
  const { words, levels, severity } = head;
  const ofCall = (name) => Object.hasOwn(calls, name);

  const starts = new Uint32Array(sizes.length + 1);
  sizes.forEach((size, i) => (starts[i + 1] = starts[i] + size));
  let total = 0;
  for (const each of outcome) total += sizes[each];
  const callOf = new Uint32Array(total), lineOf = new Uint32Array(total);
  const codes = Object.fromEntries(NUMBERS.map((name) => [name, new numbers[name].constructor(total)]));
  for (let call = 0, row = 0, measured = 0; call < outcome.length; call++) {
    for (let at = starts[outcome[call]]; at < starts[outcome[call] + 1]; at++, row++) {
      callOf[row] = call;
      lineOf[row] = lines[at];
      if (!line.measured[lines[at]]) continue;
      for (const name of NUMBERS) codes[name][row] = numbers[name][measured];
      measured++;
    }
  }
  const located = Uint32Array.from(worst.row); // the rows: each is written as its distance from the one before
  for (let i = 1; i < located.length; i++) located[i] += located[i - 1];

  const code = (name, row) => (ofCall(name) ? calls[name][callOf[row]] : line[name][lineOf[row]]);
  const word = (name, row) => words[name][code(name, row)];
  const number = (name, row) => (codes[name][row] ? levels[name][codes[name][row] - 1] : null);
  const beforeAspect = (call) => PARTS.slice(0, -1).map((name) => words[name][calls[name][call]]).join("/");
  const id = (row) => ids[row] ?? `${beforeAspect(callOf[row])}/${word("aspect", row)}`;

  // Flags, by place in a table: which of its words are wanted.
  const flags = (table, wanted) => Uint8Array.from(table, (each) => (wanted(each) ? 1 : 0));

  // Whether each call, and each line, says what is looked for in one of its own words.
  function having(wanted) {
    const inCall = new Uint8Array(outcome.length), inLine = new Uint8Array(line.aspect.length);
    for (const name of PARTS) {
      const [column, found] = ofCall(name) ? [calls[name], inCall] : [line[name], inLine];
      const wantedWords = flags(words[name], wanted);
      if (wantedWords.includes(1)) column.forEach((at, i) => (found[i] |= wantedWords[at]));
    }
    const reasons = flags(words.reason, wanted);
    line.reason.forEach((at, i) => (inLine[i] |= reasons[at]));
    return [inCall, inLine];
  }

  // For each row, whether its ID or its reason holds the term, which is in lower case.
  function holding(term) {
    const [inCall, inLine] = having((each) => each.toLowerCase().includes(term));
    const across = []; // ways to stand across the aspect's slash: which calls end so, and which aspects begin so
    if (term.includes("/")) {
      const cuts = [...term].flatMap((letter, i) => (letter === "/" ? [i] : [])).map((cut) => [
        new Uint8Array(outcome.length),
        flags(words.aspect, (each) => each.toLowerCase().startsWith(term.slice(cut + 1))),
        term.slice(0, cut),
      ]);
      for (let call = 0; call < outcome.length; call++) {
        const text = beforeAspect(call).toLowerCase();
        if (text.includes(term)) inCall[call] = 1;
        for (const [ends, , start] of cuts) ends[call] = text.endsWith(start) ? 1 : 0;
      }
      across.push(...cuts);
    }
    return (row) => {
      if (Object.hasOwn(ids, row)) return `${ids[row]} ${word("reason", row)}`.toLowerCase().includes(term);
      if (inCall[callOf[row]] || inLine[lineOf[row]]) return true;
      return across.some(([ends, begins]) => ends[callOf[row]] && begins[line.aspect[lineOf[row]]]);
    };
  }

  // Rows with these words ({loss: "mse_loss"}), one of these verdicts (all, if none is given), and all of these terms.
  function matching(wanted, verdicts, terms) {
    const inCall = new Uint8Array(outcome.length).fill(1), inLine = new Uint8Array(line.aspect.length).fill(1);
    const keep = (name, table) => {
      const [column, found] = ofCall(name) ? [calls[name], inCall] : [line[name], inLine];
      column.forEach((at, i) => (found[i] &= table[at]));
    };
    for (const [name, text] of Object.entries(wanted)) keep(name, flags(words[name], (each) => each === text));
    if (verdicts.size) keep("verdict", flags(words.verdict, (each) => verdicts.has(each)));
    const holds = terms.map(holding);
    const found = new Uint32Array(total);
    let n = 0;
    for (let row = 0; row < total; row++) {
      if (inCall[callOf[row]] && inLine[lineOf[row]] && holds.every((each) => each(row))) found[n++] = row;
    }
    return found.subarray(0, n);
  }

  // The rows by a column; those that are alike there stay as they are. Of numbers the largest come first.
  function sorted(rows, name) {
    let rank, at;
    if (NUMBERS.includes(name)) {
      rank = Uint32Array.from({ length: levels[name].length + 1 }, (_, i) => levels[name].length - i);
      at = (row) => rank[codes[name][row]];
    } else {
      const table = words[name];
      const place = name === "verdict" ? (each) => severity.indexOf(each) : (each) => each;
      const order = table.map((each, i) => [place(each), i]).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      rank = new Uint32Array(table.length);
      order.forEach(([, i], n) => (rank[i] = n));
      at = (row) => rank[code(name, row)];
    }
    const next = new Uint32Array(rank.length + 1);
    for (const row of rows) next[at(row) + 1]++;
    for (let i = 1; i < next.length; i++) next[i] += next[i - 1];
    const found = new Uint32Array(rows.length);
    for (const row of rows) found[next[at(row)]++] = row;
    return found;
  }

  // The words of a column that are left where others are chosen.
  function choices(name, chosen) {
    const seen = new Uint8Array(words[name].length);
    if (ofCall(name)) {
      const kept = Object.entries(chosen).map(([each, text]) => [calls[each], words[each].indexOf(text)]);
      calls[name].forEach((at, call) => kept.every(([column, wanted]) => column[call] === wanted) && (seen[at] = 1));
    } else {
      for (const row of matching(chosen, new Set(), [])) seen[code(name, row)] = 1;
    }
    return words[name].filter((_, i) => seen[i]);
  }

  // The row of an ID; -1 for none.
  function find(wanted) {
    for (const [row, odd] of Object.entries(ids)) if (odd === wanted) return Number(row);
    const losses = flags(words.loss, (each) => wanted.startsWith(`${each}/`));
    let last = -1, fits = false;
    for (let row = 0; row < total; row++) {
      if (callOf[row] !== last) {
        last = callOf[row];
        fits = losses[calls.loss[last]] === 1 && wanted.startsWith(`${beforeAspect(last)}/`);
      }
      if (fits && !Object.hasOwn(ids, row) && id(row) === wanted) return row;
    }
    return -1;
  }

  // Where a check's error is largest: {index, got, want, tolerance, at}; null where this page does not have it.
  let places = null;
  async function place(row) {
    let low = 0, high = located.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (located[middle] < row) low = middle + 1;
      else high = middle;
    }
    if (located[low] !== row) return null;
    places ??= unpack(data.worst.places);
    const found = JSON.parse((await places)[worst.place[low]]);
    if (!Array.isArray(found)) return found;
    const [index, want, at] = found;
    return { index, got: Number(worst.got[low]), want, tolerance: Number(worst.tolerance[low]), at };
  }

  return { total, head, words, word, number, id, matching, sorted, choices, find, place };
}
