"use strict";
// Columns as packed.py writes them: base64 of zlib, unpacked by the browser's own DecompressionStream where it has one.

async function unpack(column) {
  const text = atob(column.data);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const raw = await unzip(packed);
  if (column.kind === "lines") return column.n ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(raw).split("\n") : [];
  const kinds = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
  const found = new kinds[column.kind](column.n);
  for (let byte = 0; byte < found.BYTES_PER_ELEMENT; byte++) {
    const from = byte * column.n; // all first bytes, then all second ones
    for (let i = 0; i < column.n; i++) found[i] |= raw[from + i] << (8 * byte);
  }
  return found;
}

// A table of columns: {name: column, ...}.
async function unpackAll(table) {
  const found = await Promise.all(Object.entries(table).map(async ([name, column]) => [name, await unpack(column)]));
  return Object.fromEntries(found);
}

async function unzip(bytes) {
  if (typeof DecompressionStream === "undefined") return inflate(bytes.subarray(2)); // behind zlib's header
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// RFC 1951, for browsers of before 2023.
function inflate(bytes) {
  const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
  const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
  const DISTANCES = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577];
  let at = 0, held = 0, count = 0, out = new Uint8Array(4 * bytes.length + 1024), size = 0;

  function take(n) {
    while (count < n) {
      if (at >= bytes.length) throw new Error("it is cut off");
      held |= bytes[at++] << count;
      count += 8;
    }
    const found = held & ((1 << n) - 1);
    held >>>= n;
    count -= n;
    return found;
  }

  function room(n) {
    if (size + n <= out.length) return;
    const larger = new Uint8Array(2 * (size + n));
    larger.set(out);
    out = larger;
  }

  // How many codes there are of each length, and the symbols in the order of their codes.
  function codes(lengths) {
    const counts = new Array(16).fill(0);
    for (const length of lengths) counts[length]++;
    counts[0] = 0;
    const next = [0, 0];
    for (let length = 1; length < 15; length++) next[length + 1] = next[length] + counts[length];
    const symbols = [];
    lengths.forEach((length, symbol) => length && (symbols[next[length]++] = symbol));
    return { counts, symbols };
  }

  function symbol({ counts, symbols }) {
    let code = 0, first = 0, index = 0;
    for (let length = 1; length < 16; length++) {
      code |= take(1);
      const n = counts[length];
      if (code - first < n) return symbols[index + code - first];
      index += n;
      first = (first + n) << 1;
      code <<= 1;
    }
    throw new Error("a code of it is none");
  }

  function tables(kind) {
    if (kind === 1) {
      const lengths = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8));
      return [codes(lengths), codes(new Array(30).fill(5))];
    }
    const literals = take(5) + 257, distances = take(5) + 1, of = new Array(19).fill(0);
    for (let i = 0, n = take(4) + 4; i < n; i++) of[ORDER[i]] = take(3);
    const inner = codes(of), lengths = [];
    while (lengths.length < literals + distances) {
      const found = symbol(inner);
      if (found < 16) lengths.push(found);
      else {
        const again = found === 16 ? lengths[lengths.length - 1] : 0;
        const times = found === 16 ? 3 + take(2) : found === 17 ? 3 + take(3) : 11 + take(7);
        for (let i = 0; i < times; i++) lengths.push(again);
      }
    }
    return [codes(lengths.slice(0, literals)), codes(lengths.slice(literals))];
  }

  for (let last = 0; !last; ) {
    last = take(1);
    const kind = take(2);
    if (kind === 3) throw new Error("a block of it is of no kind");
    if (kind === 0) {
      held = count = 0;
      const length = bytes[at] | (bytes[at + 1] << 8);
      room(length);
      out.set(bytes.subarray(at + 4, at + 4 + length), size);
      at += 4 + length;
      size += length;
      continue;
    }
    const [literals, distances] = tables(kind);
    for (let found; (found = symbol(literals)) !== 256; ) {
      if (found < 256) {
        room(1);
        out[size++] = found;
        continue;
      }
      const step = found - 257;
      const length = LENGTHS[step] + (step < 8 || step === 28 ? 0 : take((step - 4) >> 2));
      const far = symbol(distances);
      let from = size - DISTANCES[far] - (far < 4 ? 0 : take((far - 2) >> 1));
      room(length);
      for (let i = 0; i < length; i++) out[size++] = out[from++];
    }
  }
  return out.subarray(0, size);
}
