// The camera canvas: live, or frozen on the image of the dialogue; layers; what is being pointed at.

import { element, setAttribute, setText } from "./dom.js";
import { COLORS, paintBox, paintCross, paintScene } from "./painting.js";
import { Pointing } from "./pointing.js";

const STALE_AGE = 1.5; // seconds after which the age of the image is shown

export class Viewer {
  #images;
  #state = null;
  #showLive = false; // the person's choice while a dialogue has an image
  #frozenOn = null; // id of the frame that the choice was made for
  #selected = null; // index of the reading shown; null: the newest
  #asked = 0;
  #canvas = document.getElementById("canvas");
  layers = { map: true, opacity: 0.6, regions: true, target: true, mask: true, confidence: true };
  onselect = () => {}; // () => void: another reading or image is shown

  /** actions: {point(click), box(box), goLive(), draft() -> a box that is to be shown, or null}. */
  constructor(images, actions) {
    this.#images = images;
    this.actions = actions;
    this.pointing = new Pointing(this.#canvas, {
      size: () => this.frame(),
      changed: () => this.redraw(),
      click: (click) => actions.point(click),
      box: (box) => actions.box(box),
    });
    for (const input of document.querySelectorAll("[data-layer]")) {
      input.addEventListener("change", () => {
        this.layers[input.dataset.layer] = input.checked;
        this.redraw();
      });
      this.layers[input.dataset.layer] = input.checked; // the browser may have kept it over a reload
    }
    const opacity = document.getElementById("opacity");
    opacity.addEventListener("input", () => {
      this.layers.opacity = opacity.valueAsNumber / 100;
      this.redraw();
    });
    this.layers.opacity = opacity.valueAsNumber / 100;
    document.getElementById("show-live").addEventListener("click", () => this.choose(true));
    document.getElementById("show-dialogue").addEventListener("click", () => this.choose(false));
    images.addEventListener("change", () => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(document.getElementById("stage"));
  }

  get replaying() {
    return Boolean(this.#state?.replay);
  }

  /** Whether the image is that of the dialogue (or of a replay), not the live one. */
  get frozen() {
    return this.replaying || (this.#frozenId() !== null && !this.#showLive);
  }

  /** Whether the dialogue's image is here to be looked at. */
  get hasFrozen() {
    return this.#frozenId() !== null;
  }

  /** The image on show, {bitmap, width, height}, or null. */
  frame() {
    return this.frozen ? this.#images.frame(this.#frozenId()) : this.#images.live;
  }

  /** Live (true) or the dialogue's image (false). From a replay, live leaves it. */
  choose(live) {
    if (live && this.replaying) this.actions.goLive();
    this.#showLive = live;
    this.redraw();
    this.onselect();
  }

  /** Shows the map of one step of the dialogue; null: of the newest. */
  select(index) {
    this.#selected = index;
    this.#showLive = false;
    this.redraw();
    this.onselect();
  }

  /** The index of the reading on show; -1: none. */
  get shownReading() {
    const readings = this.#state?.dialogue?.readings ?? [];
    return this.#selected !== null && this.#selected < readings.length ? this.#selected : readings.length - 1;
  }

  render(state) {
    const before = this.#state?.dialogue;
    this.#state = state;
    const { dialogue } = state;
    if (dialogue.frame !== this.#frozenOn) {
      // A new dialogue or its next image: look at it.
      this.#frozenOn = dialogue.frame;
      this.#showLive = false;
    }
    if (before?.id !== dialogue.id || before?.readings.length !== dialogue.readings.length) this.#selected = null;
    this.redraw();
  }

  redraw() {
    if (!this.#asked) this.#asked = requestAnimationFrame(() => this.#draw());
  }

  #frozenId() {
    const dialogue = this.#state?.dialogue;
    const reading = dialogue?.readings[this.shownReading];
    return dialogue?.frame === null || dialogue?.frame === undefined ? null : (reading?.frame ?? dialogue.frame);
  }

  #draw() {
    this.#asked = 0;
    this.#labels();
    const frame = this.frame(),
      canvas = this.#canvas;
    const none = document.getElementById("no-image");
    none.hidden = Boolean(frame);
    setText(
      none,
      !this.frozen
        ? "Waiting for the first image"
        : this.hasFrozen
          ? "The image is on its way"
          : "The recording has no image of this",
    );
    canvas.classList.toggle("blank", !frame);
    if (!frame) return;
    const ratio = String(frame.width / frame.height);
    if (canvas.style.getPropertyValue("--ratio") !== ratio) canvas.style.setProperty("--ratio", ratio);
    const unit = Math.min(3, devicePixelRatio || 1);
    const width = Math.max(1, Math.round(canvas.clientWidth * unit));
    const height = Math.max(1, Math.round((width * frame.height) / frame.width));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d"),
      scale = width / frame.width;
    paintScene(context, frame, this.layers, this.#content(), unit);
    const { cross } = this.pointing,
      draft = this.pointing.draft ?? this.actions.draft();
    if (draft) paintBox(context, draft, scale, unit, COLORS.draft, "", [3, 3]);
    if (cross) paintCross(context, cross, scale, unit);
    setAttribute(canvas, "data-frame", this.frozen ? this.#frozenId() : frame.id);
  }

  // Overlays belong to the dialogue's image: on a live one they would lie beside the objects.
  #content() {
    if (!this.frozen) return { heat: null, mask: null, regions: [], target: null };
    const { dialogue } = this.#state,
      index = this.shownReading,
      reading = dialogue.readings[index];
    const newest = index === dialogue.readings.length - 1;
    const target = newest ? dialogue.target : null;
    return {
      heat: reading && reading.map !== null ? this.#images.heatCanvas(reading.map) : null,
      regions: target ? [] : (reading?.regions ?? []),
      mask: target && target.mask !== null ? this.#images.maskCanvas(target.mask) : null,
      target,
    };
  }

  #labels() {
    const frozenThere = this.hasFrozen || this.replaying,
      frozen = this.frozen;
    const dialogue = document.getElementById("show-dialogue");
    dialogue.disabled = !frozenThere;
    setText(dialogue, this.replaying ? "Replay" : "Dialogue");
    setAttribute(document.getElementById("show-live"), "aria-pressed", String(!frozen));
    setAttribute(dialogue, "aria-pressed", String(frozen));
    const badge = document.getElementById("badge");
    const kind = this.replaying ? "replay" : frozen ? "frozen" : this.#images.live ? "live" : "none";
    setText(
      badge,
      {
        replay: "Replay",
        frozen: this.#state?.dialogue.open ? "Frozen for the dialogue" : "Image of the dialogue",
        live: "Live",
        none: "No image yet",
      }[kind],
    );
    setAttribute(badge, "data-kind", kind);
    const { camera, camera_age_s: seconds } = this.#state?.connection ?? {};
    const age = document.getElementById("age");
    age.hidden = frozen || !((camera !== "ok" && seconds !== null) || seconds > STALE_AGE);
    if (!age.hidden) setText(age, `image is ${Math.round(seconds)} s old`);
    const { open, question } = this.#state?.dialogue ?? {};
    this.#canvas.classList.toggle("asking", frozen && Boolean(open) && question !== null && !this.replaying);
    this.#canvas.classList.toggle("stale", !frozen && camera !== undefined && camera !== "ok");
    const size = this.frame();
    setAttribute(
      this.#canvas,
      "aria-label",
      size ? `${badge.textContent}: camera image, ${size.width} by ${size.height} pixels` : "Camera image, none yet",
    );
  }
}

/** A canvas of one step for the Why panel, `width` CSS pixels wide, or null while its image is not here. Where the
 *  console never got the image, the map alone. */
export function thumbnail(images, reading, width) {
  const alone = reading.frame === null ? images.heatCanvas(reading.map) : null;
  const frame = alone ? { bitmap: alone, width: 4, height: 3 } : images.frame(reading.frame);
  if (!frame) return null;
  const unit = Math.min(2, devicePixelRatio || 1);
  const canvas = element("canvas", { attributes: { "aria-hidden": "true" } });
  canvas.width = Math.round(width * unit);
  canvas.height = Math.round((width * unit * frame.height) / frame.width);
  const layers = { map: true, opacity: 0.7, regions: true, target: false, mask: false, confidence: false };
  const content = {
    heat: reading.map === null ? null : images.heatCanvas(reading.map),
    mask: null,
    regions: alone ? [] : reading.regions,
    target: null,
  };
  paintScene(canvas.getContext("2d"), frame, layers, content, unit);
  return canvas;
}
