// Lights up what an entry is made of, and what it acts on.  All that it needs stands in data attributes;
// without it the page is complete.
(() => {
  "use strict";
  const ENTRY = "[data-makes], td[data-name]";   // a maker, one term of its expansion, or an entry that is read
  const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const ROLES = { window: "window", weights: "weight" };
  // A maker's names stand at itself, or at its grid where all its entries share them.
  const names = (maker, list) =>
    (maker.dataset[list] ?? maker.closest("table")?.dataset[list] ?? "").split(" ").filter(Boolean);
  const push = (map, key, value) => map.has(key) ? map.get(key).push(value) : map.set(key, [value]);

  // What a scene holds by name, looked up once.
  const indexes = new WeakMap();
  function indexOf(scene) {
    if (!indexes.has(scene)) {
      const named = new Map(), readers = new Map(), rows = new Map();
      for (const el of scene.querySelectorAll("[data-name]")) {
        if (!el.closest("[data-lens]")) push(named, el.dataset.name, el);
      }
      for (const maker of scene.querySelectorAll("button[data-makes]")) {
        for (const list in ROLES) {
          for (const name of names(maker, list)) push(readers, name, { maker, role: ROLES[list] });
        }
      }
      for (const row of scene.querySelectorAll("[data-expands]")) rows.set(row.dataset.expands, row);
      indexes.set(scene, { named, readers, rows });
    }
    return indexes.get(scene);
  }

  function start(root) {
    let pinned = null, hovered = null;     // the entry that keeps the light when the pointer leaves; the one under it
    let lit = [], active = null;

    const mark = (el, role) => { el.dataset.lit = role; lit.push(el); };
    const part = name => active.querySelector(name) || {};

    function clear() {
      for (const el of lit) el.removeAttribute("data-lit");
      lit = [];
      if (!active) return;
      active.querySelector("[data-open]")?.removeAttribute("data-open");
      active.removeAttribute("data-active");
      part("[data-lens]").replaceChildren?.();
      say(part("[data-line]").dataset?.line, "");
      active = null;
    }

    function say(line, now) {
      part("[data-line]").textContent = line;
      part("[data-now]").textContent = now;
    }

    function light(entry) {
      clear();
      if (!entry) return;
      active = entry.closest("[data-scene]");
      const index = indexOf(active), made = entry.dataset.makes;
      if (made) lightMaker(entry, index, made);
      else lightReaders(entry, index, entry.dataset.name);
      for (const el of active.querySelectorAll("[data-part]")) mark(el, el.dataset.part);
      active.dataset.active = made || entry.dataset.name;
    }

    function lightMaker(maker, index, made) {
      const roles = new Map();
      for (const list in ROLES) for (const name of names(maker, list)) roles.set(name, ROLES[list]);
      roles.set(made, "result");
      for (const [name, role] of roles) {
        for (const el of index.named.get(name) || []) {
          const row = el.closest("[data-expands]");
          if (!row || row.dataset.expands === made) mark(el, role);
        }
      }
      const row = index.rows.get(made);
      if (row) {
        part("[data-lens]").replaceChildren?.(row.cloneNode(true));
        row.dataset.open = "";
      }
      if (maker.dataset.say) say(maker.dataset.say, maker.dataset.at);
    }

    function lightReaders(entry, index, name) {
      const readers = index.readers.get(name) || [], counts = new Map();
      const role = readers.some(reader => reader.role === "window") ? "window" : readers[0]?.role || "window";
      for (const el of index.named.get(name)) mark(el, role);
      for (const maker of new Set(readers.map(reader => reader.maker))) {
        mark(maker, "result");
        const label = maker.closest("table").getAttribute("aria-label").replace(/, choose an entry$/, "");
        counts.set(label, (counts.get(label) || 0) + 1);
      }
      const found = [...counts].map(([label, n]) => `${n} ${n === 1 ? "entry" : "entries"} of ${label}`);
      say(found.length ? `This entry acts on ${found.join(" and ")}.` : "This entry acts on none of those shown.", "");
    }

    function pin(entry) {
      pinned = entry;
      light(entry);
    }

    const entryAt = target => {
      const entry = target instanceof Element ? target.closest(ENTRY) : null;
      return entry && root.contains(entry) && !entry.closest("[data-lens]") && entry.closest("[data-scene]")?.querySelector("button[data-makes]") ? entry : null;
    };

    // One entry of each grid is in the tab order; the arrows walk from there.
    const stops = new WeakMap();
    function stop(entry) {
      const table = entry.closest("table"), before = stops.get(table);
      if (before) before.tabIndex = -1;
      entry.tabIndex = 0;
      stops.set(table, entry);
    }
    function go(entry) {
      stop(entry);
      entry.focus();
    }
    for (const scene of root.querySelectorAll("[data-scene]")) {
      if (!scene.querySelector("button[data-makes]")) continue;
      for (const table of scene.querySelectorAll("table.grid")) {
        for (const button of table.querySelectorAll("button")) button.tabIndex = -1;
        const first = table.querySelector("td > button[data-makes], td[data-name]");
        if (!first) continue;
        table.setAttribute("role", "grid");
        stop(first);
      }
    }

    const inCell = cell => cell?.matches("td[data-name]") ? cell : cell?.querySelector("button[data-makes]");
    function walk(entry, down, right) {
      const cell = entry.closest("td"), rows = cell.closest("tbody").rows;
      let row = cell.parentElement.sectionRowIndex, column = cell.cellIndex;
      while (rows[row += down]?.cells[column += right]) {
        const next = inCell(rows[row].cells[column]);
        if (next) return next;
      }
      return null;
    }
    function end(entry, key, all) {
      const cell = entry.closest("td");
      const cells = all ? [...cell.closest("tbody").querySelectorAll("td")] : [...cell.parentElement.cells];
      return (key === "Home" ? cells : cells.reverse()).map(inCell).find(Boolean);
    }

    root.addEventListener("focusin", event => {
      const entry = entryAt(event.target);
      if (entry) { stop(entry); pin(entry); }
    });
    root.addEventListener("click", event => {
      const entry = entryAt(event.target);
      if (!entry || entry.matches(".term")) return;
      go(entry);
      pin(entry);
    });
    root.addEventListener("keydown", event => {
      const entry = entryAt(event.target);
      if (!entry) return;
      const next = ARROWS[event.key] ? walk(entry, ...ARROWS[event.key])
        : event.key === "Home" || event.key === "End" ? end(entry, event.key, event.ctrlKey) : undefined;
      if (next === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      if (next) go(next);
    });
    root.addEventListener("pointerover", event => {
      if (event.pointerType === "touch") return;
      const entry = entryAt(event.target);
      if (entry === hovered) return;
      hovered = entry;
      light(entry || pinned);
    });
    root.addEventListener("pointerleave", () => {
      if (hovered) light(pinned);
      hovered = null;
    });
    document.addEventListener("keydown", event => { if (event.key === "Escape") pin(null); });
    document.addEventListener("click", event => {
      const other = event.target.closest?.(".closedform");
      if (pinned && !entryAt(event.target) && (!other || other === root)) pin(null);
    });

    function fromAddress() {               // page.html#o12 opens with that entry lit
      const entry = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (entry?.dataset.makes && root.contains(entry)) entry.focus({ preventScroll: true });
    }
    addEventListener("hashchange", fromAddress);
    fromAddress();

    // What must be scrolled sideways can be reached by keyboard.
    const wide = root.querySelectorAll(".formula, .eq, .scroll, .listing, .array, .stack");
    const reach = () => { for (const el of wide) el.toggleAttribute("tabindex", false), el.scrollWidth > el.clientWidth && (el.tabIndex = 0); };
    addEventListener("resize", reach);
    reach();
  }

  for (const root of document.querySelectorAll(".closedform")) {
    if (root.closedform) continue;
    root.closedform = true;
    start(root);
  }
})();
