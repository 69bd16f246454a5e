// The node's diagnostics, one line each, with all values behind it.

import { element, keyed, rebuild, setAttribute, setText } from "./dom.js";

const LEVELS = { ok: "OK", warn: "Warning", error: "Error", stale: "No news" };

export class Health {
  #list = element("ul", { class: "list health" });
  #none = element("p", { class: "nothing", text: "No diagnostics yet: the clue node sends them once a second." });

  /** tab: the tab's button, which shows that something is wrong. */
  constructor(root, tab) {
    this.tab = tab;
    root.append(this.#none, this.#list);
  }

  render({ health }) {
    this.#none.hidden = health.length > 0;
    const worst = health.some(({ level }) => level === "error")
      ? "error"
      : health.some(({ level }) => level !== "ok")
        ? "warn"
        : "";
    setAttribute(this.tab, "data-alarm", worst || null);
    setAttribute(this.tab, "aria-label", worst ? `Health, ${LEVELS[worst].toLowerCase()}` : null);
    keyed(
      this.#list,
      health,
      ({ name }) => name,
      make,
      (item, part) => {
        const [summary, table] = item.firstElementChild.children;
        const [level, name, message] = summary.children;
        setText(level, LEVELS[part.level] ?? part.level);
        setAttribute(level, "data-level", part.level);
        setText(name, part.name);
        setText(message, part.message);
        rebuild(table, part.values, () =>
          part.values.flatMap(([key, value]) => [
            element("dt", { text: String(key) }),
            element("dd", { text: String(value) }),
          ]),
        );
      },
    );
  }
}

function make() {
  return element(
    "li",
    {},
    element(
      "details",
      {},
      element(
        "summary",
        {},
        element("span", { class: "level" }),
        element("span", { class: "name" }),
        element("span", { class: "muted message" }),
      ),
      element("dl"),
    ),
  );
}
