// Wires the page: the connection's messages go to one state, the state goes to every part of the page.

import { Banner, Notes } from "./banner.js";
import { startLayers, startTabs, startTheme } from "./chrome.js";
import { Connection, address } from "./connection.js";
import { Conversation, correctable } from "./conversation.js";
import { Gauge } from "./gauge.js";
import { Goals } from "./goals.js";
import { Health } from "./health.js";
import { Images } from "./images.js";
import { Replay } from "./replay.js";
import { Taught } from "./taught.js";
import { Viewer } from "./viewer.js";
import { Why } from "./why.js";

const VERSION = 1; // of the protocol

startTheme(document.getElementById("theme"));
startTabs(document.querySelector("[role=tablist]"));
startLayers(document.getElementById("layers"));
document.getElementById("export").href = address("export");

let state = null;
let mayAct = true; // else the console was started for looking only
let arrived = null,
  seen = null; // ids of the newest live image, and of the last one that the server was told of

const connection = new Connection();
const images = new Images();
const notes = new Notes();
const send = (message) => {
  if (connection.send(message)) return true;
  notes.add("warn", "Not sent: the console does not answer.");
  return false;
};

const banner = new Banner(() => connection.retryNow());
const viewer = new Viewer(images, {
  point: (click) => {
    if (!mayAct) return notes.add("info", "This page only shows.");
    if (state?.replay) return notes.add("info", "This is a recording: pointing does nothing here.");
    // An open question is about the dialogue's image: a click on the live one would mean another place.
    if (asked() && !viewer.hasFrozen)
      return notes.add("info", "The image of this dialogue did not come to the console: answer in words.");
    if (asked() && !viewer.frozen)
      return notes.add("info", "The question is about the dialogue's image: choose “Dialogue” above and click there.");
    // A click beside the target that was just found says which one was meant.
    return send(
      asked() || (correctable(state) && viewer.frozen) ? { type: "answer", click } : { type: "point", click },
    );
  },
  box: (box) => {
    if (mayAct && asked() && viewer.frozen && !state.replay) return send({ type: "answer", box });
    if (mayAct && !asked() && !viewer.frozen && taught.possible) return taught.show(box);
    return notes.add("info", "A box answers a question; none is open on this image.");
  },
  draft: () => (viewer.frozen ? null : taught.draft),
  goLive: () => send({ type: "live" }),
});
const conversation = new Conversation({
  instruct: (text) => send({ type: "instruct", text }),
  answer: (answer) => send({ type: "answer", ...answer }),
  neverMind: () => send({ type: "never_mind" }),
});
const gauge = new Gauge(document.getElementById("gauge"));
const why = new Why(images, (index) => viewer.select(index));
const goals = new Goals(document.getElementById("goals"), (goal) => send({ type: "cancel", goal }));
const health = new Health(document.getElementById("health"), document.getElementById("tab-health"));
const taught = new Taught(document.getElementById("taught"), document.getElementById("tab-taught"), send, () =>
  viewer.redraw(),
);
const replay = new Replay(document.getElementById("replay"), send);

function asked() {
  return Boolean(state?.dialogue.open && state.dialogue.question !== null);
}

function renderDialogue() {
  if (!state) return;
  gauge.render(state.dialogue.readings, viewer.shownReading);
  why.render(state.dialogue, viewer.shownReading);
}

function render() {
  banner.render(state, connection.status);
  conversation.render(state, connection.status.open);
  replay.render(state, connection.status.open);
  if (!state) return;
  viewer.render(state);
  renderDialogue();
  goals.render(state);
  taught.render(state);
  health.render(state);
}

viewer.onselect = renderDialogue;
images.addEventListener("change", ({ detail }) => {
  if (!detail.live && state?.dialogue.readings.length) renderDialogue();
});

// A live image is acknowledged when it is ready to be drawn: the next one comes only after that.
connection.addEventListener("binary", async ({ detail }) => {
  try {
    await images.add(detail);
  } catch (error) {
    console.warn("clue console: an image could not be read:", error);
  }
  const { kind, live, id } = detail.header;
  if (kind === "frame" && live) {
    arrived = id;
    acknowledge();
  }
});

// A page in the background asks for no more images.
function acknowledge() {
  if (document.hidden || arrived === seen) return;
  if (connection.send({ type: "seen", frame: arrived })) seen = arrived;
}
document.addEventListener("visibilitychange", acknowledge);

const receivers = {
  hello(message) {
    if (message.version !== VERSION) notes.add("warn", "The console was renewed: reload this page.");
    images.clear();
    arrived = seen = null;
    mayAct = message.options?.can_instruct !== false;
    document.body.classList.toggle("looks-only", !mayAct);
    conversation.configure(message.limits, message.options);
    replay.configure(message.options?.replay);
  },
  state(message) {
    state = message.state;
    render();
  },
  note(message) {
    notes.add(message.level, message.text);
  },
};

connection.addEventListener("message", ({ detail }) => receivers[detail.type]?.(detail));
connection.addEventListener("status", render);
render();
connection.open();
