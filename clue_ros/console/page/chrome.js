// Colours, tabs and layers: what works without the server.

import { setAttribute, setText } from "./dom.js";

const THEMES = ["system", "light", "dark"];
const KEY = "clue-console-theme";

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage may be forbidden
  }
}

function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // then it is as the system at the next visit
  }
}

/** The button that goes round: as the system, light, dark. */
export function startTheme(button) {
  let theme = THEMES.includes(remembered()) ? remembered() : "system";
  const apply = () => {
    setAttribute(document.documentElement, "data-theme", theme === "system" ? null : theme);
    setText(button, { system: "Auto", light: "Light", dark: "Dark" }[theme]);
    setAttribute(button, "aria-label", `Colours: ${theme === "system" ? "as the system" : theme}. Press for the next`);
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remember(theme);
    apply();
  });
  apply();
}

/** Tabs by click and by arrow keys (the ARIA pattern for tabs). */
export function startTabs(list) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const choose = (chosen) =>
    tabs.forEach((tab) => {
      const selected = tab === chosen;
      setAttribute(tab, "aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !selected;
    });
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  });
}

/** On a phone the layers are folded away, so that the question is seen together with the image. */
export function startLayers(details) {
  details.open = !matchMedia("(max-width: 560px)").matches;
  matchMedia("(max-width: 560px)").addEventListener("change", ({ matches }) => {
    details.open = !matches;
  });
}
