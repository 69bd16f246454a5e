// The probability that the words are ambiguous, against the threshold above which the robot asks.

import { element, percent, setAttribute, setText } from "./dom.js";

function place(value) {
  return `${(Math.min(1, Math.max(0, value)) * 100).toFixed(2)}%`;
}

export class Gauge {
  #past = element("div", { class: "past" });
  #fill = element("div", { class: "fill" });
  #threshold = element("div", { class: "threshold" }, element("span", { text: "asks above" }));
  #needle = element("div", { class: "needle" });
  #value = element("strong", { class: "value" });
  #words = element("span", { class: "words" });
  #meter = element(
    "div",
    {
      class: "meter",
      attributes: {
        role: "meter",
        "aria-label": "Probability that the words are ambiguous",
        "aria-valuemin": "0",
        "aria-valuemax": "1",
      },
    },
    element("div", { class: "track" }, this.#fill),
    this.#past,
    this.#threshold,
    this.#needle,
  );

  constructor(root) {
    root.append(
      element(
        "div",
        { class: "gauge-head" },
        element("span", { class: "muted", text: "Ambiguous?" }),
        this.#value,
        this.#words,
      ),
      this.#meter,
    );
    this.root = root;
  }

  /** readings: those of a dialogue; index: the one on show, -1: none. */
  render(readings, index) {
    const reading = Number.isFinite(readings[index]?.probability) ? readings[index] : undefined;
    this.root.classList.toggle("idle", !reading);
    if (!reading) {
      setText(this.#value, "");
      setText(this.#words, "no reading yet");
      setAttribute(this.#meter, "aria-valuenow", null);
      setAttribute(this.#meter, "aria-valuetext", "no reading");
      this.#past.replaceChildren();
      return;
    }
    const { probability, threshold, is_ambiguous: ambiguous } = reading;
    this.#needle.style.left = place(probability);
    this.#fill.style.width = place(probability);
    this.#threshold.style.left = place(threshold);
    this.#threshold.classList.toggle("far", threshold > 0.7);
    this.root.classList.toggle("ambiguous", ambiguous);
    setText(this.#value, percent(probability));
    const words = ambiguous
      ? `above the threshold of ${percent(threshold)}: asks`
      : `below the threshold of ${percent(threshold)}: clear`;
    const sense = ambiguous === probability > threshold ? words : ambiguous ? "asks" : "clear";
    setText(this.#words, sense);
    setAttribute(this.#meter, "aria-valuenow", probability.toFixed(3));
    setAttribute(this.#meter, "aria-valuetext", `${percent(probability)}, ${sense}`);
    // Where it stood before: one sees the doubt go.
    this.#past.replaceChildren(
      ...readings.slice(0, index).map((earlier, step) => {
        const mark = element("i", { attributes: { title: `step ${step + 1}: ${percent(earlier.probability)}` } });
        mark.style.left = place(earlier.probability);
        return mark;
      }),
    );
  }
}
