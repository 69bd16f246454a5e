// Building and updating the page. Whatever comes from the server goes in as text, never as markup.

/** An element with properties, attributes and children.
 *  options: {class, text, attributes: {name: value}, data: {name: value}, on: {event: listener}}; a child may be null. */
export function element(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  if (options.class) node.className = options.class;
  if (options.text !== undefined) node.textContent = options.text;
  for (const [name, value] of Object.entries(options.attributes ?? {})) setAttribute(node, name, value);
  for (const [name, value] of Object.entries(options.data ?? {})) node.dataset[name] = value;
  for (const [event, listener] of Object.entries(options.on ?? {})) node.addEventListener(event, listener);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets an attribute only where it differs; null, undefined and false remove it. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, String(value));
  }
}

/** Sets the text only where it differs, so that screen readers speak of changes alone. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Rebuilds a node's children only when `key` (any JSON value) changed since the last call. True if it did. */
const keys = new WeakMap();
export function rebuild(node, key, build) {
  const text = JSON.stringify(key);
  if (keys.get(node) === text) return false;
  keys.set(node, text);
  const children = build();
  node.replaceChildren(...(Array.isArray(children) ? children : [children]).filter(Boolean));
  return true;
}

/** Keeps one child for each item, by key: focus and open details survive an update.
 *  make(item) -> element; update(element, item) after that and at every later call. */
export function keyed(list, items, keyOf, make, update) {
  const old = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let before = list.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    old.delete(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === before) before = before.nextElementSibling;
    else list.insertBefore(child, before);
  }
  for (const child of old.values()) child.remove();
}

/** "1.3 s", "85 ms", or "" for what is not known. */
export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 90 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds / 60)} min`;
}

/** "82 %", or "" for what is not known. */
export function percent(value) {
  return typeof value === "number" && Number.isFinite(value) ? `${Math.round(value * 100)} %` : "";
}
