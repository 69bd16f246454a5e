// Clicks, boxes and keys on the camera canvas, as pixels of the original image.

import { setText } from "./dom.js";

const CLICK_SLACK = 6; // CSS pixels that a finger may slip in a click
const SMALL_STEP = 1 / 64,
  BIG_STEP = 1 / 8; // of the image's longer side
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** {x, y, width, height} between two corners. */
function boxOf([x0, y0], [x1, y1]) {
  return { x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) };
}

/** draft: the box being drawn, or null. cross: where the keys point, [x, y], or null. */
export class Pointing {
  draft = null;
  cross = null;
  #start = null; // {point: [x, y], client: [x, y], id}
  #corner = null; // first corner of a box drawn by keys

  /** view: {size() -> {width, height}|null, changed(), click([x, y]), box([x, y, w, h])}. */
  constructor(canvas, view) {
    this.canvas = canvas;
    this.view = view;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", () => this.drop());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      this.cross = null;
      this.#corner = null;
      this.draft = null;
      view.changed();
    });
  }

  /** Forgets what was being drawn. */
  drop() {
    this.#start = this.#corner = this.draft = null;
    this.view.changed();
  }

  #place(event) {
    const size = this.view.size(),
      area = this.canvas.getBoundingClientRect();
    if (!size || !area.width || !area.height) return null;
    const inside = (value, limit) => Math.min(limit - 1, Math.max(0, value));
    return [
      inside(((event.clientX - area.left) / area.width) * size.width, size.width),
      inside(((event.clientY - area.top) / area.height) * size.height, size.height),
    ];
  }

  #down(event) {
    const point = this.#place(event);
    if (event.button !== 0 || !event.isPrimary || !point) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.cross = null;
    this.#start = { point, client: [event.clientX, event.clientY] };
  }

  #slipped(event) {
    const [x, y] = this.#start.client;
    return Math.hypot(event.clientX - x, event.clientY - y) > CLICK_SLACK;
  }

  #move(event) {
    const point = this.#start && event.isPrimary ? this.#place(event) : null;
    if (!point || (!this.draft && !this.#slipped(event))) return;
    this.draft = boxOf(this.#start.point, point);
    this.view.changed();
  }

  #up(event) {
    const point = this.#start && event.isPrimary ? this.#place(event) : null;
    if (!point) return;
    const { point: start } = this.#start,
      drawn = this.draft !== null;
    this.drop();
    if (drawn) this.#sendBox(boxOf(start, point));
    else this.view.click(point.map(rounded));
  }

  #sendBox(box) {
    if (box.width < 2 || box.height < 2) return;
    this.view.box([box.x, box.y, box.width, box.height].map(rounded));
  }

  #key(event) {
    const size = this.view.size(),
      arrow = ARROWS[event.key];
    if (!size || event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrow) {
      const step = Math.max(1, Math.max(size.width, size.height) * (event.shiftKey ? BIG_STEP : SMALL_STEP));
      const from = this.cross ?? [size.width / 2, size.height / 2];
      const limits = [size.width, size.height];
      this.cross = this.cross
        ? from.map((value, axis) => Math.min(limits[axis] - 1, Math.max(0, value + arrow[axis] * step)))
        : from;
      if (this.#corner) this.draft = boxOf(this.#corner, this.cross);
      this.#say(`${this.cross.map(Math.round).join(", ")}`);
    } else if (event.key === "Enter" && this.cross) {
      const corner = this.#corner,
        cross = this.cross;
      this.drop();
      if (corner) this.#sendBox(boxOf(corner, cross));
      else this.view.click(cross.map(rounded));
    } else if (event.key.toLowerCase() === "b" && this.cross) {
      this.#corner = this.cross;
      this.#say("Box begun: move to its other corner, Enter ends it");
    } else if (event.key === "Escape") {
      this.cross = null;
      this.drop();
    } else {
      return;
    }
    event.preventDefault();
    this.view.changed();
  }

  #say(text) {
    setText(document.getElementById("pointing-status"), text);
  }
}

function rounded(value) {
  return Math.round(value * 10) / 10;
}
