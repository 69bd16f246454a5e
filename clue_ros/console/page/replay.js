// Stepping through the episodes of a bag or an evaluation run that the operator named when the console started.

import { element, rebuild, setText } from "./dom.js";

export class Replay {
  #sources = [];
  #state = null; // the server's word on what this client looks at; null: live
  #connected = false;
  #choice = element("select", { attributes: { id: "replay-source" } });
  #none = element("p", {
    class: "nothing",
    text: "No recording was named when the console was started. docs/console.md says how.",
  });
  #title = element("p", { class: "replay-title", attributes: { role: "status" } });
  #episode = stepper("Episode", "episode", (by) => this.#go(by, null));
  #step = stepper("Step", "step", (by) => this.#go(0, by));
  #live = element("button", {
    text: "Back to live",
    attributes: { type: "button", id: "replay-live" },
    on: { click: () => this.leave() },
  });
  #open = element("button", {
    class: "primary",
    text: "Open",
    attributes: { type: "button", id: "replay-open" },
    on: { click: () => this.#ask(0, 0) },
  });

  /** send(message) -> whether it was sent. */
  constructor(root, send) {
    this.send = send;
    this.form = element(
      "div",
      { class: "replay" },
      element(
        "div",
        { class: "row" },
        element("label", { text: "Recording", attributes: { for: "replay-source" } }),
        this.#choice,
        this.#open,
        this.#live,
      ),
      this.#title,
      this.#episode.root,
      this.#step.root,
    );
    root.append(this.#none, this.form);
  }

  /** sources: [{id, name, episodes}] of the server's hello. */
  configure(sources) {
    this.#sources = Array.isArray(sources) ? sources : [];
    rebuild(this.#choice, this.#sources, () =>
      this.#sources.map(({ id, name, episodes }) =>
        element("option", {
          text: `${name} (${episodes} ${episodes === 1 ? "episode" : "episodes"})`,
          attributes: { value: id },
        }),
      ),
    );
    this.#draw();
  }

  render(state, connected) {
    this.#state = state?.replay ?? null;
    this.#connected = connected;
    this.#draw();
  }

  leave() {
    return this.send({ type: "live" });
  }

  #ask(episode, step) {
    const source = this.#sources.find(({ id }) => String(id) === this.#choice.value);
    if (source) this.send({ type: "replay", bag: source.id, episode, step });
  }

  // stepBy null: another episode, from its first step.
  #go(episodeBy, stepBy) {
    const at = this.#state;
    if (!at) return;
    const message =
      stepBy === null ? { episode: at.episode + episodeBy, step: 0 } : { episode: at.episode, step: at.step + stepBy };
    this.send({ type: "replay", bag: at.bag, ...message });
  }

  #draw() {
    const at = this.#state;
    this.#none.hidden = this.#sources.length > 0;
    this.form.hidden = !this.#sources.length;
    this.#open.disabled = !this.#connected;
    this.#live.hidden = !at;
    this.#live.disabled = !this.#connected;
    setText(this.#title, at ? [at.name, at.title].filter(Boolean).join(": ") : "");
    this.#episode.update(at && this.#connected, at?.episode, at?.episodes);
    this.#step.update(at && this.#connected, at?.step, at?.steps);
  }
}

// A line "Episode ‹ 3 of 20 ›".
function stepper(label, name, by) {
  const back = element("button", {
    text: "‹",
    attributes: { type: "button", "aria-label": `Previous ${name}`, id: `${name}-back` },
    on: { click: () => by(-1) },
  });
  const next = element("button", {
    text: "›",
    attributes: { type: "button", "aria-label": `Next ${name}`, id: `${name}-next` },
    on: { click: () => by(1) },
  });
  const place = element("output", { attributes: { id: `${name}-place` } });
  const root = element(
    "div",
    { class: "row stepper", attributes: { role: "group", "aria-label": label } },
    element("span", { text: label }),
    back,
    place,
    next,
  );
  return {
    root,
    update(active, index, count) {
      root.hidden = !active;
      back.disabled = !active || index <= 0;
      next.disabled = !active || index >= count - 1;
      setText(place, active ? `${index + 1} of ${count}` : "");
    },
  };
}
