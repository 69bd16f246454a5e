// What is drawn over an image: attention map, competing regions, mask, target box. Coordinates: pixels of the original
// image, scaled to a canvas by `scale` (canvas pixels a pixel of the image).

export const COLORS = { region: "#ffb04d", target: "#26de94", cross: "#ffffff", draft: "#8fb0ff" };
const INK = "rgba(14, 16, 20, 0.86)";

/** "A", "B", … "Z", "27", …: what the person calls a region. */
export function regionName(index) {
  return index < 26 ? String.fromCharCode(65 + index) : String(index + 1);
}

function isBox(box) {
  return box && [box.x, box.y, box.width, box.height].every(Number.isFinite) && box.width > 0 && box.height > 0;
}

/** Draws frame and layers. frame: {bitmap, width, height}; layers: {map, opacity, regions, target, mask, confidence};
 *  content: {heat: canvas|null, mask: canvas|null, regions: [{x, y, width, height, score}], target: box|null}. */
export function paintScene(context, frame, layers, content, unit = 1) {
  const { width, height } = context.canvas,
    scale = width / frame.width;
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(frame.bitmap, 0, 0, width, height);
  if (layers.map && content.heat) {
    context.globalAlpha = layers.opacity;
    context.drawImage(content.heat, 0, 0, width, height);
    context.globalAlpha = 1;
  }
  if (layers.mask && content.mask) context.drawImage(content.mask, 0, 0, width, height);
  if (layers.regions) {
    content.regions.filter(isBox).forEach((region, index) => {
      const text =
        layers.confidence && Number.isFinite(region.score)
          ? `${regionName(index)} ${region.score.toFixed(2)}`
          : regionName(index);
      paintBox(context, region, scale, unit, COLORS.region, text, [5, 4]);
    });
  }
  if (layers.target && isBox(content.target)) {
    const sure = content.target.confidence;
    const text = layers.confidence && Number.isFinite(sure) ? `target ${sure.toFixed(2)}` : "target";
    paintBox(context, content.target, scale, unit, COLORS.target, text, []);
  }
}

/** One box on a dark edge, with a label above it, or inside where there is no room above. unit: canvas pixels of one CSS pixel. */
export function paintBox(context, box, scale, unit, color, text, dash) {
  const [x, y, w, h] = [box.x, box.y, box.width, box.height].map((value) => value * scale);
  context.lineJoin = "round";
  for (const [style, line, pattern] of [
    [INK, 4.5, []],
    [color, 2.25, dash],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = line * unit;
    context.setLineDash(pattern.map((value) => value * unit));
    context.strokeRect(x, y, w, h);
  }
  context.setLineDash([]);
  if (text) paintLabel(context, text, x, y, unit, color);
}

function paintLabel(context, text, x, y, unit, color) {
  context.font = `600 ${12 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const width = context.measureText(text).width + 10 * unit,
    height = 19 * unit;
  const left = Math.max(0, Math.min(x - 1 * unit, context.canvas.width - width));
  const top = y >= height + unit ? y - height - unit : y + unit;
  context.fillStyle = INK;
  context.beginPath();
  context.roundRect(left, top, width, height, 4 * unit);
  context.fill();
  context.fillStyle = color;
  context.fillText(text, left + 5 * unit, top + height / 2 + unit * 0.5);
}

/** The cross of who points by keys. */
export function paintCross(context, point, scale, unit) {
  const [x, y] = point.map((value) => value * scale);
  for (const [style, line] of [
    [INK, 5],
    [COLORS.cross, 2],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = line * unit;
    context.beginPath();
    context.moveTo(x - 14 * unit, y);
    context.lineTo(x + 14 * unit, y);
    context.moveTo(x, y - 14 * unit);
    context.lineTo(x, y + 14 * unit);
    context.stroke();
  }
}
