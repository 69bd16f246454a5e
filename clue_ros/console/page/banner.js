// What is away and what to do about it: one line at the top, and a small sign for each part.

import { element, rebuild, setText } from "./dom.js";

const NODE_WORDS = {
  inactive: ["The clue node is not active.", "Activate it: ros2 lifecycle set /clue/clue activate"],
  unconfigured: ["The clue node is not configured.", "Configure it: ros2 lifecycle set /clue/clue configure"],
  asked: ["The clue node has not answered yet.", ""],
  away: ["The clue node is away.", "Start it: ros2 launch clue_ros clue.launch.py"],
};
const CAMERA_WORDS = {
  stale: [
    "The camera has stopped.",
    "Look after its driver and cable: ros2 topic hz on the image topic tells when images come again.",
  ],
  away: ["No camera.", "Nothing comes on the image topic: start the camera, or set the console's image topic."],
};
const REFUSED_WORDS = {
  token: [
    "This console wants its access token.",
    "Open the address that it printed when it was started; it ends in ?token=…",
  ],
  origin: [
    "The console refused this page's origin.",
    "Open the page from the console's own address, not through another site.",
  ],
  many: [
    "Too many pages of this console are open.",
    "Close one elsewhere, or raise max_viewers; this page tries again by itself.",
  ],
};

/** [{level, what, advice}] of all that is wrong; [] if all is well. Words of the server go before the page's own. */
export function troubles(state, status) {
  if (!status.open) {
    if (status.refused)
      return [{ level: "error", what: REFUSED_WORDS[status.refused][0], advice: REFUSED_WORDS[status.refused][1] }];
    const advice =
      "It is tried again by itself. Is it still running (ros2 run clue_ros console), and is this device in its network?";
    return [
      {
        level: "error",
        what: state ? "The console does not answer; what you see is old." : "The console does not answer yet.",
        advice,
      },
    ];
  }
  if (!state) return [];
  const { node, camera, advice } = state.connection;
  const found = [];
  if (NODE_WORDS[node]) found.push({ level: "error", what: NODE_WORDS[node][0], advice: NODE_WORDS[node][1] });
  if (CAMERA_WORDS[camera])
    found.push({
      level: camera === "away" ? "error" : "warn",
      what: CAMERA_WORDS[camera][0],
      advice: CAMERA_WORDS[camera][1],
    });
  if (advice && found.length) found[0].advice = advice;
  if (advice && found.length > 1) for (const other of found.slice(1)) other.advice = "";
  if (advice && !found.length) found.push({ level: "warn", what: "", advice });
  return found;
}

export class Banner {
  #root = document.getElementById("banner");
  #pills = document.getElementById("pills");

  /** retry(): tries the connection at once. */
  constructor(retry) {
    this.retry = retry;
  }

  render(state, status) {
    const found = troubles(state, status);
    this.#root.hidden = !found.length;
    this.#root.dataset.level = found.some(({ level }) => level === "error") ? "error" : "warn";
    document.body.classList.toggle("offline", !status.open);
    rebuild(this.#root, [found, status.open], () => [
      element(
        "div",
        { class: "troubles" },
        ...found.map(({ what, advice }) =>
          element(
            "p",
            {},
            what ? element("strong", { text: what }) : null,
            element("span", { text: what && advice ? ` ${advice}` : advice }),
          ),
        ),
      ),
      status.open
        ? null
        : element("button", { text: "Try now", attributes: { type: "button" }, on: { click: () => this.retry() } }),
    ]);
    this.#renderPills(state, status);
  }

  #renderPills(state, status) {
    const { node, camera, model } = state?.connection ?? {};
    const pills =
      status.open && state
        ? [
            ["Node", node, node === "active" ? "ok" : "error"],
            ["Camera", camera, { ok: "ok", stale: "warn" }[camera] ?? "error"],
            ["Model", model ?? "none", model ? "ok" : "warn"],
          ]
        : [["Console", status.refused ? "refused" : "away", "error"]];
    rebuild(this.#pills, pills, () =>
      pills.map(([name, value, level]) => {
        const pill = element("li", { data: { level, name } }, element("b", { text: `${name} ` }));
        pill.append(element("span", { text: shortName(value), attributes: { title: String(value) } }));
        return pill;
      }),
    );
  }
}

// The last part of a model folder's path is enough for a sign; the whole stands in its title.
function shortName(value) {
  const parts = String(value).split("/").filter(Boolean);
  return parts.at(-1) ?? "";
}

/** Short messages at the foot of the page: something was refused, and why. */
export class Notes {
  #root = document.getElementById("notes");

  add(level, text) {
    const known = ["info", "warn", "error"].includes(level) ? level : "info";
    const note = element(
      "p",
      { class: "note", data: { level: known } },
      element("span", { text: String(text) }),
      element("button", {
        text: "×",
        attributes: { type: "button", "aria-label": "Close this message" },
        on: { click: () => note.remove() },
      }),
    );
    const same = [...this.#root.children].find((other) => other.firstElementChild.textContent === String(text));
    same?.remove();
    this.#root.append(note);
    while (this.#root.children.length > 3) this.#root.firstElementChild.remove();
    setTimeout(() => note.remove(), 9000);
  }
}
