// Frames and maps as they came from the server, kept until no longer needed, decoded when drawn.

const KEPT_FRAMES = 200,
  KEPT_MAPS = 600,
  DECODED = 24;
const MAX_SIDE = 16384;
const MASK_SIDE = 480; // of a mask as it is drawn, at least
const TYPES = new Set(["image/jpeg", "image/png", "image/webp"]);

// Dark violet to yellow, as in clue_ros/visualization/palette.py.
const COLORS = [
  [20, 11, 52],
  [92, 18, 110],
  [165, 44, 96],
  [221, 81, 58],
  [250, 150, 25],
  [252, 245, 140],
];
const MASK_COLOR = [38, 222, 148];

function isSize(value) {
  return Number.isInteger(value) && value > 0 && value <= MAX_SIDE;
}

/** [red, green, blue] of a value in 0 to 1. */
export function heat(value) {
  const place = Math.min(1, Math.max(0, value)) * (COLORS.length - 1);
  const low = Math.min(COLORS.length - 2, Math.floor(place)),
    share = place - low;
  return [0, 1, 2].map((c) => Math.round(COLORS[low][c] * (1 - share) + COLORS[low + 1][c] * share));
}

/** Event "change" (detail: {live}): an image became ready to draw. */
export class Images extends EventTarget {
  #frames = new Map(); // id -> {blob, width, height, bitmap|null, loading}
  #maps = new Map(); // id -> {width, height, grey: Uint8ClampedArray, heat: canvas|null, mask: canvas|null}
  live = null; // {id, bitmap, width, height}: the newest live image
  #epoch = 0;
  #lastLive = 0;

  /** Forgets everything: another server counts its images anew. */
  clear() {
    this.#epoch += 1;
    this.#frames.clear();
    this.#maps.clear();
    this.live = null;
  }

  /** Takes a binary message in. Resolves to "live" when a live image is ready to draw, else to "". */
  async add({ header, bytes }) {
    if (!TYPES.has(header.mime) || !isSize(header.width) || !isSize(header.height))
      throw new Error("image without a size");
    const blob = new Blob([bytes], { type: header.mime });
    const { id, width, height } = header,
      epoch = this.#epoch;
    if (header.kind === "map") {
      await this.#addMap(id, blob, epoch);
    } else if (header.kind === "frame" && header.live) {
      const number = (this.#lastLive += 1);
      const bitmap = await createImageBitmap(blob);
      if (epoch !== this.#epoch || number !== this.#lastLive) return "";
      this.live?.bitmap.close();
      this.live = { id, bitmap, width, height };
      this.#changed(true);
      return "live";
    } else if (header.kind === "frame") {
      this.#frames.delete(id);
      this.#frames.set(id, { blob, width, height, bitmap: null, loading: false });
      forgetOldest(this.#frames, KEPT_FRAMES);
      this.#changed();
    }
    return "";
  }

  /** {bitmap, width, height} of a frozen frame (width × height: of the original image); null while it is not ready. */
  frame(id) {
    const frame = this.#frames.get(id);
    if (!frame) return this.live?.id === id ? this.live : null;
    if (!frame.bitmap && !frame.loading) this.#decode(id, frame);
    return frame.bitmap ? frame : null;
  }

  /** The attention map as a small canvas, coloured, see-through where it is low; null if it is not here. */
  heatCanvas(id) {
    const map = this.#maps.get(id);
    if (map) map.heat ??= paint(map, (value) => [...heat(value / 255), 40 + value * (215 / 255)]);
    return map?.heat ?? null;
  }

  /** The mask as a small canvas: inside tinted, with an edge; null if it is not here. */
  maskCanvas(id) {
    const map = this.#maps.get(id);
    if (map) map.mask ??= paint(enlarged(map), (value, on) => [...MASK_COLOR, value < 128 ? 0 : on.edge ? 255 : 90]);
    return map?.mask ?? null;
  }

  async #addMap(id, blob, epoch) {
    const bitmap = await createImageBitmap(blob);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const { width, height } = bitmap;
    bitmap.close();
    if (epoch !== this.#epoch) return;
    this.#maps.set(id, { width, height, grey: greyOf(context), heat: null, mask: null });
    forgetOldest(this.#maps, KEPT_MAPS);
    this.#changed();
  }

  async #decode(id, frame) {
    frame.loading = true;
    try {
      frame.bitmap = await createImageBitmap(frame.blob);
    } catch (error) {
      console.warn("clue console: an image could not be read:", error);
      return; // `loading` stays: it is not tried at every draw
    }
    frame.loading = false;
    const decoded = [...this.#frames].filter(([other, { bitmap }]) => bitmap && other !== id);
    for (const [, old] of decoded.slice(0, Math.max(0, decoded.length - DECODED))) {
      old.bitmap.close();
      old.bitmap = null;
    }
    this.#changed();
  }

  #changed(live = false) {
    this.dispatchEvent(new CustomEvent("change", { detail: { live } }));
  }
}

function forgetOldest(images, limit) {
  for (const id of images.keys()) {
    if (images.size <= limit) return;
    images.get(id).bitmap?.close();
    images.delete(id);
  }
}

// A coarse mask, smoothly enlarged: its edge is then a line and no staircase.
function enlarged(map) {
  const times = Math.ceil(MASK_SIDE / Math.max(map.width, map.height));
  if (times <= 1) return map;
  const small = paint(map, (value) => [value, value, value, 255]);
  const canvas = new OffscreenCanvas(map.width * times, map.height * times),
    context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  return { width: canvas.width, height: canvas.height, grey: greyOf(context) };
}

// uint8[height * width], row by row.
function greyOf(context) {
  const { width, height } = context.canvas;
  return context.getImageData(0, 0, width, height).data.filter((_, index) => index % 4 === 0);
}

// color(value, {edge}) -> [r, g, b, a], each 0 to 255. `edge`: a neighbour is outside (below 128).
function paint({ width, height, grey }, color) {
  const pixels = new ImageData(width, height);
  const outside = (x, y) => x < 0 || y < 0 || x >= width || y >= height || grey[y * width + x] < 128;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const edge = outside(x - 1, y) || outside(x + 1, y) || outside(x, y - 1) || outside(x, y + 1);
      pixels.data.set(color(grey[y * width + x], { edge }), (y * width + x) * 4);
    }
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}
