// The conversation: what was said, quick replies, the input, and how the dialogue ended.

import { element, rebuild, setAttribute, setText } from "./dom.js";
import { regionName } from "./painting.js";

/** What the input would do now: "answer", "instruct", "wait" or "" (nothing can be sent). */
export function inputMode(state, connected) {
  if (!connected || !state) return "";
  const { dialogue } = state;
  if (state.replay) return "";
  if (dialogue.open) return dialogue.question === null ? "wait" : "answer";
  return "instruct";
}

/** Whether the last result may be taken back: the node knows for how long, and says so when it is too late. */
export function correctable(state) {
  return Boolean(state && !state.replay && !state.dialogue.open && state.dialogue.target);
}

const GESTURES = /^\((click|box|scribble) ([\d. -]+)\)$/;
const GESTURE_WORDS = { click: "Clicked at", box: "Drew a box at", scribble: "Scribbled at" };

/** "a click at 526, 194" for a turn that was no words but a click, a box or a scribble; else "". */
export function gestureOf(text) {
  const found = GESTURES.exec(text);
  return found ? `a ${found[1]} at ${found[2].trim().split(/ +/).join(", ")}` : "";
}

/** A turn as it is shown: "(click 526 194)" becomes "Clicked at 526, 194". */
export function readable(text) {
  const found = GESTURES.exec(text);
  return found ? `${GESTURE_WORDS[found[1]]} ${found[2].trim().split(/ +/).join(", ")}` : text;
}

function timeOf(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

function bubble(turn, question) {
  const name = turn.speaker === "person" ? "You" : "Robot";
  return element(
    "div",
    { class: `turn ${turn.speaker === "person" ? "person" : "robot"}${question ? " question" : ""}` },
    element("span", { class: "who", text: `${name}` }),
    element("span", { class: "words", text: readable(turn.text) }),
    element("time", { class: "visually-hidden", text: timeOf(turn.at) }),
  );
}

export class Conversation {
  #turns = document.getElementById("turns");
  #input = document.getElementById("say");
  #dialogueId = undefined;
  #mode = "";
  #mayAct = true;

  /** actions: {instruct(text), answer({text}|{click}), neverMind()}, each returns whether it was sent. */
  constructor(actions) {
    this.actions = actions;
    document.getElementById("say-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    document.getElementById("correct").addEventListener("click", () => {
      const text = this.#input.value.trim();
      if (text && actions.answer({ text })) this.#input.value = "";
    });
    document.getElementById("never-mind").addEventListener("click", () => actions.neverMind());
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName))
        return;
      event.preventDefault();
      this.#input.focus();
    });
  }

  /** limits: those of the server's hello. */
  configure(limits, options) {
    if (Number.isInteger(limits?.text)) this.#input.maxLength = limits.text;
    this.#mayAct = options?.can_instruct !== false;
  }

  render(state, connected) {
    this.#mode = inputMode(state, connected && this.#mayAct);
    if (state) {
      this.#renderTurns(state.dialogue);
      this.#renderResult(state.dialogue, connected && this.#mayAct && correctable(state));
      this.#renderChoices(state.dialogue);
      const source = { action: "from a goal", speech: "spoken" }[state.dialogue.source] ?? "";
      setText(document.getElementById("source"), source);
    }
    this.#renderInput(state, connected);
  }

  #submit() {
    const text = this.#input.value.trim();
    if (!text) return;
    const sent =
      this.#mode === "answer"
        ? this.actions.answer({ text })
        : this.#mode === "instruct" && this.actions.instruct(text);
    if (sent) this.#input.value = "";
  }

  // Bubbles are only added, so that a screen reader reads what is new and nothing twice.
  #renderTurns({ id, turns, question }) {
    const list = this.#turns;
    if (this.#dialogueId !== id || turns.length < list.querySelectorAll(".turn").length) {
      list.replaceChildren();
      this.#dialogueId = id;
    }
    const hint = list.querySelector(".nothing");
    if (!turns.length && !hint)
      list.append(
        element("p", { class: "nothing", text: "Nothing was said yet. Type what the robot should look for." }),
      );
    if (turns.length) hint?.remove();
    const there = list.querySelectorAll(".turn").length;
    const last = turns.length - 1;
    turns.slice(there).forEach((turn, index) => {
      list.append(bubble(turn, question !== null && there + index === last && turn.speaker === "robot"));
    });
    list.querySelectorAll(".turn").forEach((item, index) => {
      item.classList.toggle("question", question !== null && index === last && turns[index].speaker === "robot");
    });
    if (turns.length > there) list.scrollTop = list.scrollHeight;
  }

  #renderResult({ open, error, target, id }, correctable) {
    const place = document.getElementById("result");
    rebuild(place, [id, open, error, target, correctable], () => {
      if (error) {
        const name = [error.name, error.code]
          .filter((part) => part !== "" && part !== null && part !== undefined)
          .join(" ");
        return element(
          "p",
          { class: "outcome bad" },
          element("strong", { text: name }),
          element("span", { text: error.text }),
        );
      }
      if (!target) return [];
      const box = [target.x, target.y, target.width, target.height].map(Math.round);
      const parts = [`box ${box[0]}, ${box[1]}, ${box[2]} × ${box[3]} px`];
      if (Number.isFinite(target.confidence)) parts.push(`confidence ${target.confidence.toFixed(2)}`);
      if (target.position?.every(Number.isFinite))
        parts.push(`at ${target.position.map((value) => value.toFixed(3)).join(", ")} m in ${target.frame_id}`);
      return element(
        "div",
        { class: "outcome good" },
        element(
          "p",
          {},
          element("strong", { text: `Found for “${target.expression}”` }),
          element("span", { text: parts.join(" · ") }),
        ),
        correctable
          ? element("button", {
              class: "small",
              text: "Not that one",
              attributes: { type: "button" },
              on: { click: () => this.actions.answer({ text: "not that one" }) },
            })
          : null,
      );
    });
  }

  #renderChoices(dialogue) {
    const place = document.getElementById("choices");
    const asked = this.#mode === "answer";
    const regions = asked ? (dialogue.readings.at(-1)?.regions ?? []) : [];
    const chips = asked ? dialogue.chips : [];
    place.hidden = !chips.length && !regions.length;
    rebuild(place, [asked, chips, regions], () => [
      ...chips.map((text) =>
        element("button", {
          class: "chip",
          text,
          attributes: { type: "button" },
          on: { click: (event) => this.#choose(event, { text }) },
        }),
      ),
      element(
        "span",
        { class: "regions" },
        ...regions.map((region, index) =>
          element("button", {
            class: "chip region",
            text: regionName(index),
            attributes: {
              type: "button",
              "aria-label": `Region ${regionName(index)}, ${whereabouts(region)}`,
              title: "this region of the image",
            },
            on: {
              click: (event) =>
                this.#choose(event, { click: [region.x + region.width / 2, region.y + region.height / 2] }),
            },
          }),
        ),
      ),
    ]);
  }

  // The buttons go when the question is answered: who came by keys goes on in the input.
  #choose(event, answer) {
    if (this.actions.answer(answer) && event.detail === 0) this.#input.focus();
  }

  #renderInput(state, connected) {
    const waiting = this.#mode === "wait";
    const wouldAnswer = inputMode(state, true) === "answer"; // whether it can be sent just now or not
    const label = wouldAnswer ? "Your answer" : "Your instruction";
    setText(document.getElementById("say-label"), label);
    setAttribute(
      this.#input,
      "placeholder",
      { answer: "Which one?", instruct: "For instance: the red mug", wait: "The robot is looking…" }[this.#mode] ?? "",
    );
    document.getElementById("send").disabled = !this.#mode || waiting;
    setText(document.getElementById("send"), wouldAnswer ? "Answer" : "Send");
    document.getElementById("correct").hidden = !connected || !this.#mayAct || !correctable(state);
    const open = connected && this.#mayAct && state?.dialogue.open && !state.replay;
    document.getElementById("never-mind").disabled = !open;
    setText(document.getElementById("say-help"), this.#help(state, connected));
  }

  #help(state, connected) {
    if (!this.#mayAct) return "This page only shows: the console was started with can_instruct false.";
    if (!connected) return "Not connected: what you type stays here until the console is back.";
    if (state?.replay) return "This is a recording. Live, at the top of the image, leads back.";
    if (this.#mode === "wait") return "The robot is looking for it.";
    if (this.#mode === "answer") return "Type, choose a reply, click the object or draw a box around it.";
    if (!correctable(state)) return "";
    return "Send: a new instruction. Correct: more words about the last one, such as “the left one instead”.";
  }
}

function whereabouts({ x, y, width, height, score }) {
  const sure = Number.isFinite(score) ? `, score ${score.toFixed(2)}` : "";
  return `around ${Math.round(x + width / 2)}, ${Math.round(y + height / 2)}${sure}`;
}
