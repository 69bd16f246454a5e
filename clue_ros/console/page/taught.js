// Things shown once: draw a box on the live image, type a name; what the robot knows, with pictures.

import { address } from "./connection.js";
import { element, rebuild, setText } from "./dom.js";

export class Taught {
  #box = null; // what was drawn last, [x, y, width, height]
  #key = "null"; // of the state's list that the pictures are of
  #known = null;
  #nothing = element("p", { class: "nothing" });
  #hint = element("p", { class: "hint", attributes: { role: "status" } });
  #name = element("input", { attributes: { id: "taught-name", type: "text", maxlength: 48 } });
  #shadow = element("input", { attributes: { type: "checkbox" } });
  #send = element("button", { class: "primary", text: "Teach", attributes: { type: "submit" } });
  #list = element("ul", { class: "gallery", attributes: { "aria-label": "What the robot was taught" } });
  #form = element(
    "form",
    { class: "row", attributes: { autocomplete: "off" } },
    element("label", { text: "Name", attributes: { for: "taught-name" } }),
    this.#name,
    this.#send,
    element("label", {}, this.#shadow, " even if the robot knows this word"),
  );

  /** send(message) -> whether it was sent; changed(): another box is on show. */
  constructor(root, tab, send, changed) {
    this.tab = tab;
    this.send = send;
    this.changed = changed;
    this.#form.addEventListener("submit", (event) => this.#teach(event));
    root.append(this.#nothing, this.#hint, this.#form, this.#list);
    this.render({ taught: null });
  }

  /** Whether the robot can be taught. */
  get possible() {
    return this.#known !== null;
  }

  /** The box that waits for its name, {x, y, width, height}, or null. */
  get draft() {
    if (!this.#box) return null;
    const [x, y, width, height] = this.#box;
    return { x, y, width, height };
  }

  /** A box was drawn on the live image: what is in it? */
  show(box) {
    this.#box = box;
    this.tab.click();
    this.#name.focus();
    this.#draw();
  }

  async render({ taught }) {
    this.#known = taught ?? null;
    this.#draw();
    const key = JSON.stringify(this.#known);
    if (key === this.#key) return;
    this.#key = key;
    let things = [];
    try {
      things = this.#known?.length ? ((await (await fetch(address("taught"))).json()) ?? []) : [];
    } catch {
      this.#key = ""; // with the next state
    }
    rebuild(this.#list, [key, things.length], () => things.map((thing) => this.#thing(thing)));
  }

  #draw() {
    this.#nothing.hidden = this.possible;
    setText(this.#nothing, "Nothing can be taught: start the robot's node with the parameter taught, a folder.");
    this.#hint.hidden = this.#form.hidden = !this.possible;
    setText(
      this.#hint,
      this.#box ? "What is in the box? Give it a name." : "Draw a box around a thing on the live image, then name it.",
    );
    this.#send.disabled = !this.#box;
    this.changed();
  }

  #teach(event) {
    event.preventDefault();
    const name = this.#name.value.trim();
    if (!name || !this.#box) return;
    if (!this.send({ type: "teach", name, box: this.#box, shadow: this.#shadow.checked })) return;
    this.#box = null;
    this.#name.value = "";
    this.#shadow.checked = false;
    this.#draw();
  }

  #thing({ name, views, picture }) {
    return element(
      "li",
      {},
      element("img", { attributes: { src: picture, alt: "", width: 96, height: 96 } }),
      element("span", { class: "expression", text: name }),
      element("span", { class: "muted", text: views === 1 ? "1 view" : `${views} views` }),
      element("button", {
        class: "small",
        text: "Forget",
        attributes: { type: "button", "aria-label": `Forget “${name}”` },
        on: { click: () => this.send({ type: "forget", name }) },
      }),
    );
  }
}
