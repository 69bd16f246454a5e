// Two people and a picture: the oracle knows which thing is meant, the questioner finds it out and clicks on it.

import { address } from "./connection.js";
import { element, rebuild, setAttribute, setText } from "./dom.js";

const find = (id) => document.getElementById(id);
const RETRY_MS = 2000;
const MOVES = {
  oracle: {
    instruction: "Ask the other for the marked thing, as you would ask a robot that sees the picture, too.",
    question: "The other asks, or clicks on what it takes to be meant.",
    answer: "Answer. Say what is true of the marked thing, not where to click.",
  },
  questioner: {
    instruction: "The other says which thing is wanted.",
    question: "Ask, or click on the thing once you are sure.",
    answer: "The other answers.",
  },
};
const SPEAKS = { oracle: ["instruction", "answer"], questioner: ["question"] };
let view = null;
let picture = null; // {task, bitmap}

/** An address of this pair: the token and the pair's name go along. */
function place(path, query = {}) {
  const url = address(path);
  const pair = new URLSearchParams(location.search).get("pair");
  if (pair !== null) url.searchParams.set("pair", pair);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

function complain(text) {
  setText(find("banner"), text);
  find("banner").hidden = !text;
}

async function ask(request) {
  try {
    const answer = await fetch(place("do"), { method: "POST", body: JSON.stringify(request) });
    const said = await answer.json().catch(() => ({ error: "The server does not answer." }));
    complain(said.error ?? "");
    return answer.ok;
  } catch {
    complain("The server cannot be reached.");
    return false;
  }
}

async function load() {
  if (view.task === undefined || picture?.task === view.task) return;
  const task = view.task;
  const answer = await fetch(place("image", { task }));
  if (!answer.ok) return complain("The picture cannot be shown: take another one.");
  const bitmap = await createImageBitmap(await answer.blob());
  if (view.task === task) picture = { task, bitmap };
}

function draw() {
  const canvas = find("canvas");
  const shown = picture !== null && picture.task === view.task;
  canvas.classList.toggle("blank", !shown);
  if (!shown) return;
  const [width, height] = view.size;
  [canvas.width, canvas.height] = [width, height];
  canvas.style.setProperty("--ratio", width / height);
  const context = canvas.getContext("2d");
  context.drawImage(picture.bitmap, 0, 0, width, height);
  const mark = ([x0, y0, x1, y1], color, dash) => {
    context.setLineDash([]);
    for (const [stroke, wide] of [["#000000", 6], [color, 3]]) {
      context.strokeStyle = stroke;
      context.lineWidth = (wide * width) / 700;
      if (dash && wide === 3) context.setLineDash([width / 60, width / 90]);
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
  };
  if (view.guess) mark(view.guess, view.right ? "#2fd18b" : "#ff6b61", true);
  if (view.target) mark(view.target, "#2fd18b", false);
}

function show() {
  const { role, phase } = view;
  const mine = SPEAKS[role].includes(phase) && (role !== "questioner" || view.may_ask);
  setText(find("role"), role);
  setText(find("collected"), `Collected: ${view.collected}`);
  const lines = view.expression ? [["person", view.expression]] : [];
  for (const turn of view.turns) lines.push(["robot", turn.question], ["person", turn.answer]);
  if (view.question) lines.push(["robot", view.question]);
  rebuild(find("turns"), lines, () =>
    lines.map(([who, text]) =>
      element("div", { class: `turn ${who}` },
        element("span", { class: "who", text: who === "robot" ? "Questioner" : "Oracle" }),
        element("p", { class: "words", text }))));
  find("turns").scrollTop = find("turns").scrollHeight;
  let move = MOVES[role][phase] ?? "";
  if (phase === "question" && role === "questioner" && !view.may_ask) move = "No more questions: click on a thing.";
  if (phase === "done") move = view.right ? "Right: this was meant." : "Missed: the solid box was meant.";
  if (phase === "empty") move = "There are no more pictures. Thank you!";
  setText(find("move"), move);
  find("say").disabled = find("send").disabled = !mine;
  setText(find("say-label"), mine ? move : "It is the other's turn");
  find("skip").hidden = role !== "oracle" || phase === "done" || phase === "empty";
  find("next").hidden = phase !== "done";
  const clicks = role === "questioner" && phase === "question";
  setText(find("picture-help"), role === "oracle" ? "The marked thing is meant; the other does not see the mark."
    : "Somebody else sees this picture with one thing marked.");
  find("canvas").style.cursor = clicks ? "crosshair" : "default";
  setAttribute(find("canvas"), "aria-label", view.target ? `Picture, meant is the box ${view.target.join(", ")}` : "Picture");
  if (mine && document.activeElement === document.body) find("say").focus();
  draw();
}

async function follow() {
  for (;;) {
    try {
      const answer = await fetch(place("view", { since: view?.revision ?? "" }));
      if (answer.status === 401) return complain("Open the address with its token, as it was printed.");
      const now = await answer.json();
      if (now.error) return complain(now.error);
      if (view === null || view.revision !== now.revision) complain("");
      view = now;
      show();
      await load();
      show();
    } catch {
      complain("The server cannot be reached; trying again.");
      await new Promise((after) => setTimeout(after, RETRY_MS));
    }
  }
}

find("say-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = find("say").value.trim();
  if (text && (await ask({ type: "instruct", text }))) find("say").value = "";
});
find("canvas").addEventListener("click", (event) => {
  if (view?.role !== "questioner" || view.phase !== "question") return;
  const box = find("canvas").getBoundingClientRect();
  const [width, height] = view.size;
  ask({ type: "point", click: [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height] });
});
find("skip").addEventListener("click", () => ask({ type: "never_mind" }));
find("next").addEventListener("click", () => ask({ type: "live" }));
follow();
