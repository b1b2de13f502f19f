// A table of rows that change: sorted, searched, paged, walked with the arrow keys, saved as CSV. Only the rows of one
// page are in the document, and of these only the cells that changed are touched.

import { byId, make, save, setHidden, setState, setText, setTitle, stateMark } from "./dom.js";
import { count } from "./format.js";

const PAGE_ROWS = 50;

// Names with numbers in them as people count: w-9 before w-10.
export const names = new Intl.Collator("en", { numeric: true });
const compare = (one, other) => (typeof one === "string" ? names.compare(one, other) : one - other);

export class Table {
  // columns: {key, label, value(row), text(row), title(row), number, state, search}; `value` sorts and, unless there is
  // a `save`, is saved; a column that is a number or `falls` begins with the largest.
  constructor(settings) {
    this.settings = settings;
    this.sort = settings.sort;
    this.page = 0;
    this.query = "";
    this.choice = "";
    this.selected = null;
    this.shown = [];
    this.element = make("section", { class: "list", "aria-label": settings.title });
    this.build();
  }

  build() {
    const { name, title, columns, choices, tools = [] } = this.settings;
    this.search = make("input", {
      type: "search",
      id: `search-${name}`,
      placeholder: `Search ${title.toLowerCase()}  /`,
      "aria-label": `Search ${title.toLowerCase()}`,
      autocomplete: "off",
      spellcheck: "false",
    });
    this.search.addEventListener("input", () => this.find(this.search.value));
    const toolbar = make("div", { class: "tools" }, this.search);
    if (choices) {
      this.select = make("select", { "aria-label": choices.label }, make("option", { value: "" }, choices.all));
      for (const value of choices.values) this.select.append(make("option", { value }, value));
      this.select.addEventListener("change", () => {
        this.choice = this.select.value;
        this.page = 0;
        this.render();
      });
      toolbar.append(this.select);
    }
    this.note = make("span", { class: "note" });
    // What a search found is said aloud; how many there are in all changes too often for that.
    this.said = make("span", { class: "hidden", role: "status" });
    const csv = make("button", { type: "button", title: "Save all rows that are found" }, "CSV");
    csv.addEventListener("click", () => save(`scaler-${name}.csv`, "text/csv", this.csv()));
    this.before = make("button", { type: "button", "aria-label": "Previous page", onclick: () => this.turn(-1) }, "‹");
    this.after = make("button", { type: "button", "aria-label": "Next page", onclick: () => this.turn(1) }, "›");
    this.pages = make("span", { class: "pages" });
    toolbar.append(this.note, this.said, make("span", { class: "paging" }, this.before, this.pages, this.after), ...tools, csv);

    this.heads = new Map();
    const head = make("tr");
    for (const column of columns) {
      const button = make("button", { type: "button", title: column.help ?? "" }, column.label);
      button.addEventListener("click", () => this.sortBy(column));
      const cell = make("th", { scope: "col", class: column.number ? "number" : "" }, button);
      this.heads.set(column.key, cell);
      head.append(cell);
    }
    this.body = make("tbody");
    const caption = make("caption", { class: "hidden" }, title);
    this.table = make("table", { role: "grid", class: `rows ${name}` }, caption, make("thead", {}, head), this.body);
    this.table.addEventListener("keydown", (event) => this.key(event));
    this.empty = make("div", { class: "empty" });
    this.scroller = make("div", { class: "scroller" }, this.table);
    this.element.append(toolbar, this.scroller, this.empty);
  }

  find(query) {
    this.query = query.trim().toLowerCase();
    if (this.search.value !== query) this.search.value = query;
    this.page = 0;
    this.render();
  }

  sortBy(column) {
    const same = this.sort.key === column.key;
    this.sort = { key: column.key, down: same ? !this.sort.down : Boolean(column.number || column.falls) };
    this.page = 0;
    this.render();
  }

  turn(by) {
    this.page += by;
    this.selected = null;
    this.render();
    this.scroller.scrollTop = 0;
  }

  matches(row) {
    const { columns, choices } = this.settings;
    if (choices && this.choice !== "" && choices.of(row) !== this.choice) return false;
    if (this.query === "") return true;
    return columns.some((column) => {
      const text = column.search ? column.search(row) : column.number ? "" : column.text(row);
      return text.toLowerCase().includes(this.query);
    });
  }

  found() {
    const column = this.settings.columns.find((column) => column.key === this.sort.key);
    const rows = this.settings.rows().filter((row) => this.matches(row));
    const keyed = rows.map((row, index) => [column.value(row), index, row]);
    const sign = this.sort.down ? -1 : 1;
    keyed.sort(([one, first], [other, second]) => sign * (compare(one, other) || first - second));
    return keyed.map(([, , row]) => row);
  }

  render() {
    const { rows, note, empty, columns, key } = this.settings;
    const all = rows().length;
    const found = this.found();
    const last = Math.max(0, Math.ceil(found.length / PAGE_ROWS) - 1);
    this.page = Math.min(Math.max(this.page, 0), last);
    this.shown = found.slice(this.page * PAGE_ROWS, (this.page + 1) * PAGE_ROWS);
    for (const column of columns) {
      const order = column.key === this.sort.key ? (this.sort.down ? "descending" : "ascending") : "none";
      const cell = this.heads.get(column.key);
      if (cell.getAttribute("aria-sort") !== order) cell.setAttribute("aria-sort", order);
    }
    const searched = this.query !== "" || this.choice !== "";
    setText(this.said, searched ? (found.length ? "Rows are found" : "Nothing is found") : "");
    const { found: told } = this.settings;
    const many = () => told?.(found.length, this.searched()) ?? `${count(found.length)} of ${count(all)} found`;
    setText(this.note, searched ? many() : note());
    setText(this.pages, last === 0 ? "" : `page ${count(this.page + 1)} of ${count(last + 1)}`);
    setHidden(this.before, last === 0);
    setHidden(this.after, last === 0);
    this.before.disabled = this.page === 0;
    this.after.disabled = this.page === last;
    setHidden(this.scroller, found.length === 0);
    setHidden(this.empty, found.length > 0);
    if (found.length === 0) this.empty.replaceChildren(...(searched && all > 0 ? this.nothing() : empty()));
    while (this.body.rows.length > this.shown.length) this.body.deleteRow(-1);
    const home = this.shown.findIndex((row) => key(row) === this.selected);
    this.shown.forEach((row, index) => this.fill(index, row, index === Math.max(home, 0), index === home));
  }

  nothing() {
    const clear = make("button", { type: "button" }, "Clear the search");
    clear.addEventListener("click", () => this.clear());
    return [make("p", {}, `${this.settings.nothing?.(this.searched()) ?? "Nothing here is like that."} `), clear];
  }

  searched() {
    return { choice: this.choice, query: this.query };
  }

  clear() {
    if (this.select) this.select.value = "";
    this.choice = "";
    this.find("");
  }

  fill(index, row, reachable, selected) {
    const { columns, open } = this.settings;
    let line = this.body.rows[index];
    if (!line) {
      line = this.body.insertRow();
      for (const column of columns) {
        const cell = line.insertCell();
        if (column.number) cell.className = "number";
        if (column.wide) cell.className = "wide";
        if (column.state) cell.append(stateMark());
      }
      line.addEventListener("click", () => this.choose(index, Boolean(open)));
    }
    columns.forEach((column, place) => {
      const cell = line.cells[place];
      if (column.state) setState(cell.firstChild, column.value(row), column.text(row));
      else setText(cell, column.text(row));
      if (column.title) setTitle(cell, column.title(row));
    });
    line.tabIndex = reachable ? 0 : -1;
    line.classList.toggle("opens", Boolean(open));
    line.setAttribute("aria-selected", String(selected));
  }

  choose(index, andOpen) {
    const row = this.shown[index];
    if (!row) return;
    this.selected = this.settings.key(row);
    this.render();
    if (andOpen) this.settings.open?.(row);
  }

  key(event) {
    const index = this.shown.findIndex((row) => this.settings.key(row) === this.selected);
    const steps = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      const next = Math.min(Math.max(index + steps[event.key], 0), this.shown.length - 1);
      this.choose(next, false);
      this.body.rows[next]?.focus();
    } else if (event.key === "Enter" && index >= 0 && event.target.tagName === "TR") {
      this.choose(index, true);
    } else if (event.key === "ArrowLeft" && !this.before.disabled) {
      this.turn(-1);
      this.body.rows[0]?.focus();
    } else if (event.key === "ArrowRight" && !this.after.disabled) {
      this.turn(1);
      this.body.rows[0]?.focus();
    } else {
      return;
    }
    event.preventDefault();
  }

  focus() {
    const line = [...this.body.rows].find((row) => row.tabIndex === 0);
    line?.focus();
  }

  csv() {
    const columns = [...this.settings.columns, ...(this.settings.saved ?? [])];
    // A cell that a spreadsheet would take for a formula is marked as text: names come from clients.
    const cell = (value) => {
      const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? "");
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const lines = [columns.map((column) => cell(column.csv ?? column.label.toLowerCase())).join(",")];
    for (const row of this.found()) lines.push(columns.map((column) => cell((column.save ?? column.value)(row))).join(","));
    return `${lines.join("\r\n")}\r\n`;
  }
}

export function focusSearch(name) {
  const search = byId(`search-${name}`);
  search?.focus();
  search?.select();
}
