// A table of which only the rows in sight are in the document. All rows have one height, but for one that is open.
const AROUND = 15; // rows above and below what is in sight
const MOST = 300000; // rows: what is higher than 17 million pixels, a browser does not lay out

// parts: the scroller, and in it a block before the table, its body, and a block behind it.
// line(row): a row of the table. detail: what stands below the open row, or null.
function virtualList({ scroller, before, body, after }, line) {
  let rows = new Uint32Array(0), first = 0, last = 0, height = 0;
  let open = -1, detail = null, extra = 0; // the open row's index, what stands below it, and how high that is

  const count = () => Math.min(rows.length, MOST);
  const indexAt = (y) => (open < 0 || y < (open + 1) * height ? y / height : Math.max(open, (y - extra) / height));
  const topOf = (index) => index * height + (open >= 0 && open < index ? extra : 0);

  function made(index) {
    const found = line(rows[index], index);
    found.setAttribute("aria-rowindex", String(index + 2)); // the headings are the first
    return index === open ? [found, detail] : [found];
  }

  function drop(element) {
    if (element.contains(document.activeElement)) scroller.focus({ preventScroll: true });
    element.remove();
  }

  function render() {
    if (!count()) return;
    if (!height) {
      body.replaceChildren(line(rows[0], 0));
      height = body.firstChild.getBoundingClientRect().height;
      body.replaceChildren();
      first = last = 0;
    }
    const from = Math.max(0, Math.floor(indexAt(scroller.scrollTop)) - AROUND);
    const to = Math.min(count(), Math.ceil(indexAt(scroller.scrollTop + scroller.clientHeight)) + AROUND);
    if (from >= last || to <= first) {
      [...body.children].forEach(drop);
      first = last = from;
    }
    for (; first < from; first++) {
      if (first === open) drop(body.children[1]);
      drop(body.firstChild);
    }
    for (; last > to; last--) {
      if (last - 1 === open) drop(body.lastChild);
      drop(body.lastChild);
    }
    while (first > from) body.prepend(...made(--first));
    while (last < to) body.append(...made(last++));
    if (detail && detail.isConnected) extra = detail.getBoundingClientRect().height;
    before.style.height = `${topOf(first)}px`;
    after.style.height = `${topOf(count()) - topOf(last)}px`;
  }

  // Other rows, with one of them open (its index, and what stands below it) or none.
  function show(found, index = -1, below = null) {
    [rows, open, detail, extra] = [found, index, below, 0];
    [...body.children].forEach(drop);
    first = last = 0;
    scroller.scrollTop = 0;
    render();
  }

  // Open a row, or with -1 none, where it is.
  function unfold(index, below) {
    if (detail && detail.isConnected) drop(detail);
    [open, detail, extra] = [index, below, 0];
    if (index >= first && index < last) body.children[index - first].after(below);
    render();
  }

  // Bring a row into sight, with what stands below it; its element.
  function reveal(index) {
    for (let i = 0; i < 2; i++) { // once more with the height of what is open, which is known when it is there
      const top = topOf(index), bottom = topOf(index + 1), room = scroller.clientHeight - body.parentElement.tHead.offsetHeight;
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      else if (bottom > scroller.scrollTop + room) scroller.scrollTop = Math.min(top, bottom - room);
      render();
    }
    return body.children[index - first + (open >= first && open < index ? 1 : 0)];
  }

  scroller.addEventListener("scroll", render, { passive: true });
  new ResizeObserver(() => {
    if (body.firstChild) height = body.firstChild.getBoundingClientRect().height;
    render();
  }).observe(scroller);
  return { show, unfold, reveal, count };
}
