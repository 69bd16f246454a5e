// The map before and after each answer, side by side, with the probability and the time of each step.

import { duration, element, keyed, percent, rebuild, setAttribute, setText } from "./dom.js";
import { gestureOf } from "./conversation.js";
import { thumbnail } from "./viewer.js";

const WIDTH = 220; // CSS pixels of a picture

/** What the person said before each step: the instruction, then the answers. "" where that is not known. */
function saidBefore(turns, count) {
  const said = turns.filter(({ speaker }) => speaker === "person").map(({ text }) => text);
  return Array.from({ length: count }, (_, index) => said[index] ?? "");
}

export class Why {
  #list = document.getElementById("steps");

  /** select(index): shows that step's map over the image. */
  constructor(images, select) {
    this.images = images;
    this.select = select;
  }

  /** shown: index of the step on show. */
  render(dialogue, shown) {
    const { readings, turns, latency, id } = dialogue;
    const said = saidBefore(turns, readings.length);
    const items = readings.map((reading, index) => ({
      reading,
      index,
      said: said[index],
      before: readings[index - 1] ?? null,
    }));
    setText(document.getElementById("why-summary"), summary(readings, latency));
    this.#list.classList.toggle("none", !items.length);
    if (!items.length) {
      rebuild(this.#list, "none", () =>
        element("li", {
          class: "nothing",
          text: "For each instruction and each answer: where the model looks for the words, and how sure it is that only one thing is meant.",
        }),
      );
      return;
    }
    this.#list.querySelector(".nothing")?.remove();
    rebuild(this.#list, ["dialogue", id], () => []);
    keyed(
      this.#list,
      items,
      ({ index }) => index,
      (item) => this.#card(item),
      (card, item) => this.#update(card, item, shown),
    );
  }

  #card({ index }) {
    return element(
      "li",
      { class: "step" },
      element("button", { class: "picture", attributes: { type: "button" }, on: { click: () => this.select(index) } }),
      element("p", { class: "said" }),
      element("p", { class: "numbers" }),
    );
  }

  #update(card, { reading, index, said, before }, shown) {
    const [button, words, numbers] = card.children;
    const frame = this.images.frame(reading.frame),
      map = reading.map === null ? null : this.images.heatCanvas(reading.map);
    rebuild(button, [Boolean(frame), Boolean(map), reading, devicePixelRatio], () => [
      thumbnail(this.images, reading, WIDTH) ??
        element("span", {
          class: "nothing",
          text: reading.frame === null ? "its image did not come" : "image on its way",
        }),
    ]);
    setAttribute(
      button,
      "aria-label",
      `Step ${index + 1}: ${percent(reading.probability)}, ${reading.is_ambiguous ? "ambiguous" : "clear"}. Show its map over the image`,
    );
    setAttribute(button, "aria-pressed", String(index === shown));
    rebuild(words, [said, reading.expression, index], () => [
      element("span", { class: "muted", text: index ? "after " : "" }),
      gestureOf(said) ? element("span", { text: gestureOf(said) }) : element("q", { text: said || reading.expression }),
    ]);
    const change =
      Number.isFinite(before?.probability) && Number.isFinite(reading.probability)
        ? Math.round(100 * (reading.probability - before.probability))
        : null;
    rebuild(numbers, [reading, change], () => [
      element("strong", {
        class: reading.is_ambiguous ? "ask" : "clear",
        text: `${percent(reading.probability)} ${reading.is_ambiguous ? "ambiguous" : "clear"}`,
      }),
      change === null
        ? null
        : element("span", { text: `${change > 0 ? "+" : change < 0 ? "−" : "±"}${Math.abs(change)} points` }),
      duration(reading.latency_s) ? element("span", { text: duration(reading.latency_s) }) : null,
    ]);
  }
}

function summary(readings, latency) {
  const parts = [];
  if (readings.length) parts.push(`${readings.length} ${readings.length === 1 ? "step" : "steps"}`);
  if (duration(latency?.inference_s)) parts.push(`model ${duration(latency.inference_s)}`);
  if (duration(latency?.response_s)) parts.push(`answer after ${duration(latency.response_s)}`);
  return parts.join(" · ");
}
