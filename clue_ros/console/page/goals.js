// The Ground goals, newest first, and the dialogues that ended in this session.

import { duration, element, keyed, setAttribute, setText } from "./dom.js";

const STATE_WORDS = {
  SUCCEEDED: "found",
  REJECTED: "refused",
  ABORTED: "failed",
  CANCELED: "canceled",
  CANCELING: "canceling",
};
const KINDS = { SUCCEEDED: "good", ABORTED: "bad", REJECTED: "bad", LOST: "bad", CANCELED: "quiet" };

function words(state) {
  return STATE_WORDS[state] ?? state.toLowerCase().replaceAll("_", " ");
}

export class Goals {
  #goals = element("ul", { class: "list", attributes: { "aria-label": "Goals, newest first" } });
  #noGoals = element("p", {
    class: "nothing",
    text: "No goal yet. An instruction from here is one, and so is one that a program sends to the action.",
  });
  #history = element("ul", { class: "list past", attributes: { "aria-label": "Finished dialogues, newest first" } });
  #historyTitle = element("h3", { text: "Finished dialogues" });

  /** cancel(id): asks for the end of a goal. */
  constructor(root, cancel) {
    this.cancel = cancel;
    root.append(this.#noGoals, this.#goals, this.#historyTitle, this.#history);
  }

  render({ goals, history }) {
    this.#noGoals.hidden = goals.length > 0;
    keyed(
      this.#goals,
      goals,
      (goal) => goal.id,
      (goal) => this.#make(goal),
      (item, goal) => {
        const [state, expression, elapsed, error, cancel] = item.children;
        setText(state, words(goal.state));
        setAttribute(state, "data-kind", KINDS[goal.state] ?? "busy");
        setText(expression, goal.expression);
        setText(elapsed, duration(goal.elapsed_s));
        setText(error, goal.error);
        error.hidden = !goal.error;
        cancel.hidden = !goal.can_cancel;
        setAttribute(cancel, "aria-label", `Cancel the goal “${goal.expression}”`);
      },
    );
    this.#historyTitle.hidden = this.#history.hidden = !history.length;
    keyed(
      this.#history,
      history,
      (entry) => entry.id,
      () => element("li", {}, element("span", { class: "expression" }), element("span", { class: "muted" })),
      (item, entry) => {
        setText(item.children[0], entry.expression);
        setText(item.children[1], entry.outcome.toLowerCase().replaceAll("_", " "));
      },
    );
  }

  #make(goal) {
    return element(
      "li",
      { class: "goal" },
      element("span", { class: "state" }),
      element("span", { class: "expression" }),
      element("span", { class: "muted elapsed" }),
      element("span", { class: "error" }),
      element("button", { text: "Cancel", attributes: { type: "button" }, on: { click: () => this.cancel(goal.id) } }),
    );
  }
}
